// Package rendezvous shares out things among members without a word between them, by
// rendezvous hashing: each thing is of the member for whom its weight is the largest.
// Who comes takes only for itself, who goes leaves only its own, and all who know the
// same members come to the same answer.
//
// Hash and the weights are the same in every process and version: whoever changes them
// has two members take the same thing until all run the new program.
package rendezvous

import "hash/fnv"

// Share is what one of several members has. The zero Share has nothing.
type Share struct {
	mine   uint64
	others []uint64
	some   bool
}

// Of returns the share of me among all members. Nobody has anything who is not one of
// them.
func Of(me string, all []string) Share {
	s := Share{mine: Hash(me)}
	for _, name := range all {
		if name == me {
			s.some = true
		} else {
			s.others = append(s.others, Hash(name))
		}
	}
	return s
}

// Has reports whether the thing of a hash is in the share.
func (s Share) Has(thing uint64) bool {
	for _, other := range s.others {
		if weight(other, thing) > weight(s.mine, thing) {
			return false
		}
	}
	return s.some
}

// Hash is that of a thing, or a member, with a name.
func Hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return h.Sum64()
}

// weight mixes well enough that shares are even, whatever names look like. It is the
// end of SplitMix64 (Steele, Lea and Flood, 2014).
func weight(member, thing uint64) uint64 {
	z := member ^ thing
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
