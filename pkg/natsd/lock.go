//go:build unix

package natsd

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes the directory for this process, for as long as it lives: the
// kernel frees the lock when the process dies, however it dies.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f.Close, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s is held by another process: stop it, or choose another --data-dir", path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
