package secret

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"strconv"
	"time"
)

// NextAt is when a value is to be refreshed that a secret got at the time got and
// that is refreshed at refreshAt at the latest: earlier by a part of w.Jitter, so that
// what was exchanged together is not refreshed together for ever. The part follows from
// the secret and the generation of the value alone, and is even over both; it leaves
// w.MinInterval between two refreshes. It is refreshAt when that leaves no room.
func (w Window) NextAt(id string, generation uint64, got, refreshAt time.Time) time.Time {
	room := min(w.Jitter, refreshAt.Sub(got)-w.MinInterval)
	if refreshAt.IsZero() || room <= 0 {
		return refreshAt
	}
	early, _ := bits.Mul64(uint64(room), draw(id, generation))
	return refreshAt.Add(-time.Duration(early).Truncate(time.Millisecond))
}

// draw is a number that looks like one drawn by lot, the same each time.
func draw(id string, generation uint64) uint64 {
	sum := sha256.Sum256([]byte(id + "." + strconv.FormatUint(generation, 10)))
	return binary.BigEndian.Uint64(sum[:])
}
