package status

import (
	"encoding/hex"
	"strings"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// uid is the id of a secret, in binary.
type uid [16]byte

func parseID(id string) (u uid, ok bool) {
	if !secret.ValidID(secret.PrefixSecret, id) {
		return u, false
	}
	_, err := hex.Decode(u[:], []byte(id[len(secret.PrefixSecret):]))
	return u, err == nil
}

// String returns the id as it stands in records.
func (u uid) String() string { return string(secret.PrefixSecret) + hex.EncodeToString(u[:]) }

// place is the part of a key before the id: organisation, property and kind.
type place string

// placeOf is where the status of a secret belongs. Kinds with two names have one place.
func placeOf(s *secret.Secret) place {
	key := events.StatusKey(s.Org, s.Property, string(s.Kind.Canonical()), s.ID)
	return place(key[:strings.LastIndexByte(key, '.')])
}

func (p place) key(id uid) string { return string(p) + "." + id.String() }

// parseKey is the reverse of [place.key].
func parseKey(key string) (place, uid, bool) {
	end := strings.LastIndexByte(key, '.')
	if end < 0 {
		return "", uid{}, false
	}
	id, ok := parseID(key[end+1:])
	return place(key[:end]), id, ok && strings.Count(key, ".") == 3
}

// places numbers the places that are known.
type places struct {
	numbers map[place]uint32
	names   []place
}

func (p *places) number(name place) uint32 {
	n, known := p.numbers[name]
	if !known {
		n = uint32(len(p.names))
		name = place(strings.Clone(string(name)))
		p.numbers[name], p.names = n, append(p.names, name)
	}
	return n
}
