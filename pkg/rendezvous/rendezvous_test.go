package rendezvous

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Every thing has one owner, whoever asks; who comes takes only for itself.
func TestShareIsOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfNDistinct(rapid.String(), 1, 8, rapid.ID).Draw(t, "members")
		thing := rapid.Uint64().Draw(t, "thing")
		owner := func(all []string) string {
			var owners []string
			for _, me := range all {
				if Of(me, all).Has(thing) {
					owners = append(owners, me)
				}
			}
			if len(owners) != 1 {
				t.Fatalf("of %q, %q have %d", all, owners, thing)
			}
			return owners[0]
		}
		if len(all) == 1 {
			return
		}
		last := all[len(all)-1]
		if before, after := owner(all[:len(all)-1]), owner(all); after != before && after != last {
			t.Fatalf("when %q came, %d went from %q to %q", last, thing, before, after)
		}
		if Of("no member of this name", all).Has(thing) {
			t.Fatal("one has a share that is no member")
		}
	})
}

// Shares are even, also of hosts and members whose names are alike.
func TestSharesAreEven(t *testing.T) {
	t.Parallel()
	const members, things = 5, 10_000
	var all []string
	for i := range members {
		all = append(all, fmt.Sprint("host 1mI2L9kKEdvYdhvFeFR5h", i))
	}
	for _, me := range all {
		s, n := Of(me, all), 0
		for i := range things {
			if s.Has(Hash(fmt.Sprintf("login-%d.example", i))) {
				n++
			}
		}
		if even := things / members; n < even*9/10 || n > even*11/10 {
			t.Errorf("%s has %d of %d things, want about %d", me, n, things, even)
		}
	}
}

// What every process of a fleet computes must not change from one version to the next.
func TestShareIsThatOfOtherVersions(t *testing.T) {
	t.Parallel()
	if got, want := Hash("login.example"), uint64(0xf98b8e4271d5252a); got != want {
		t.Errorf("Hash is %#x, want %#x", got, want)
	}
	if got, want := weight(Hash("me"), Hash("login.example")), uint64(0x2daa6bd7d36200f4); got != want {
		t.Errorf("weight is %#x, want %#x", got, want)
	}
}
