package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rekindle-dev/rekindle/events/sealing"
)

// ErrExposed is what [LoadKeyring] returns for a file that group or others may
// read, write or execute.
var ErrExposed = errors.New("seal: keyring file is open to group or others")

// privateMode is the mode of a keyring file.
const privateMode fs.FileMode = 0o600

// LoadKeyring reads a keyring file, following symbolic links as mounted secrets
// need. It returns an error that is fs.ErrNotExist if there is none,
// [ErrExposed] with the command that mends it if the file's mode gives group or
// others anything, and [ErrMalformed] as [ParseKeyring] does.
func LoadKeyring(path string) (*Keyring, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	ring, err := ParseKeyring(data)
	if err != nil {
		return nil, fmt.Errorf("seal: keyring file %s: %w", path, err)
	}
	return ring, nil
}

// readPrivate checks the file it has open, so that what is checked is what is
// read. One byte above the bound is read, for ParseKeyring to refuse.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("seal: open keyring file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("seal: stat keyring file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("seal: keyring file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o: run chmod %o '%s'", ErrExposed, path, perm, privateMode, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, sealing.MaxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("seal: read keyring file: %w", err)
	}
	return data, nil
}

// CreateKeyring loads the keyring file at path, or generates one and writes it
// there (mode 0600) if there is none, and says which. Any number of processes
// may call it at once on a shared volume: all return with the same keyring, and
// exactly one with created true.
//
// The file appears whole or not at all: it is written and synced under another
// name and then linked to path, which fails if path exists. The file system
// must have hard links. A process that dies in between leaves a file
// ".keyring-*" behind, whose key nothing was sealed to: it may be deleted.
func CreateKeyring(path string, now time.Time) (ring *Keyring, created bool, err error) {
	ring, err = LoadKeyring(path)
	if errors.Is(err, fs.ErrNotExist) {
		ring, created, err = createKeyring(path, now)
	}
	if err != nil {
		return nil, false, err
	}
	// Whoever made the file: nobody may seal to a key that a power failure can
	// take away again.
	err = syncDir(filepath.Dir(path))
	if err != nil {
		return nil, false, err
	}
	return ring, created, nil
}

func createKeyring(path string, now time.Time) (ring *Keyring, created bool, err error) {
	ring, err = NewKeyring(now)
	if err != nil {
		return nil, false, err
	}
	temp, err := writeTemp(filepath.Dir(path), ring)
	if err != nil {
		return nil, false, err
	}
	defer os.Remove(temp) //nolint:errcheck // a leftover is private and does no harm
	err = os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) { // somebody was quicker: theirs is the keyring
		ring, err = LoadKeyring(path)
		return ring, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("seal: put keyring file in place: %w", err)
	}
	return ring, true, nil
}

// SaveKeyring writes ring to path (mode 0600) after a rotation, replacing what
// is there in one step: a reader sees the old keyring or the new one. Of two
// that save at once the last one wins and the other's key is lost, so rotate
// from one place.
func SaveKeyring(path string, ring *Keyring) error {
	temp, err := writeTemp(filepath.Dir(path), ring)
	if err != nil {
		return err
	}
	err = os.Rename(temp, path)
	if err != nil {
		_ = os.Remove(temp) //nolint:errcheck // a leftover is private and does no harm
		return fmt.Errorf("seal: replace keyring file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes ring to a new file in dir and returns its path. The file is
// complete and on disk, or gone.
func writeTemp(dir string, ring *Keyring) (path string, err error) {
	exported, err := ring.Export()
	if err != nil {
		return "", err
	}
	defer exported.Wipe()
	f, err := os.CreateTemp(dir, ".keyring-*") // O_EXCL, mode 0600
	if err != nil {
		return "", fmt.Errorf("seal: create keyring file: %w", err)
	}
	_, err = f.Write(exported.bytes())
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(f.Name()) //nolint:errcheck // a leftover is private and does no harm
		return "", fmt.Errorf("seal: write keyring file: %w", err)
	}
	return f.Name(), nil
}

// syncDir makes the names in dir survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("seal: open keyring directory: %w", err)
	}
	defer d.Close()
	err = d.Sync()
	if err != nil {
		return fmt.Errorf("seal: sync keyring directory: %w", err)
	}
	return nil
}
