package api

import (
	"hash/maphash"
	"sync"
)

// turns has the edits of one secret follow one another within this process. It
// saves work, no more: each would find its revision gone, and begin again. Secrets
// share a few locks, so some wait for others.
type turns struct {
	once  sync.Once
	seed  maphash.Seed
	locks [64]sync.Mutex
}

// take waits for the secret's turn and returns what ends it.
func (t *turns) take(id string) (end func()) {
	t.once.Do(func() { t.seed = maphash.MakeSeed() })
	lock := &t.locks[maphash.String(t.seed, id)%uint64(len(t.locks))]
	lock.Lock()
	return lock.Unlock
}
