package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/rekindle-dev/rekindle/events"
)

// What the server's configuration includes, in a directory of its own. The seeds, which are
// secret, are in directories by who is to have them: that of a process of the fleet, that of
// whoever administers, and one for each organisation.
const (
	serverDir    = "server"
	keysFile     = "keys.conf"
	accountsFile = "accounts.conf"
	adminDir     = "admin"
	orgsDir      = "orgs"
	seedSuffix   = ".nk"
)

// SeedFile is where the seed of a user is, in a directory that [Admit] has written.
func (u User) SeedFile(dir string) string {
	name := string(u.Role)
	if u.Name != "" {
		name += "-" + events.Token(u.Name)
	}
	return filepath.Join(dir, u.holder(), name+seedSuffix)
}

// File is where the credentials of a user are: [User.CredsFile] or [User.SeedFile].
func (u User) File(dir string) string {
	if _, err := os.Stat(u.CredsFile(dir)); err == nil {
		return u.CredsFile(dir)
	}
	return u.SeedFile(dir)
}

// holder is the directory of who is to have the seed of a user.
func (u User) holder() string {
	switch u.Role {
	case RoleAdmin, RoleVaultAdmin:
		return adminDir
	case RoleReaderAdmin:
		return filepath.Join(adminDir, events.Token(u.Org))
	case RoleVault:
		return string(RoleExchanger)
	case RoleUpstream, RoleReader:
		return filepath.Join(orgsDir, events.Token(u.Org))
	default:
		return string(u.Role)
	}
}

// Admit makes an nkey for every user of a fleet with the organisations, and writes what the
// server's configuration includes to admit them. Seeds that are there are kept, so it may be
// called again when there is another organisation.
func Admit(dir string, orgs []Organisation) error {
	var keys strings.Builder
	for _, u := range Users(orgs) {
		pair, err := keyOf(u.SeedFile(dir), nkeys.CreateUser)
		if err != nil {
			return err
		}
		public, err := pair.PublicKey()
		if err != nil {
			return err
		}
		pair.Wipe()
		fmt.Fprintf(&keys, "%s: %q\n", u.Key(), public)
		if err := os.Remove(u.CredsFile(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) { // of another mode
			return err
		}
	}
	if err := writeServer(dir, keysFile, keys.String()); err != nil {
		return err
	}
	return writeServer(dir, accountsFile, Accounts(orgs))
}

// writeServer writes a file for the server, which runs as somebody else: nothing is secret.
func writeServer(dir, name, text string) error {
	dir = filepath.Join(dir, serverDir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // see above
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) //nolint:gosec // see above
}

// keyOf returns the key pair of the seed in a file, which it makes if there is none.
func keyOf(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(path, create)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer clear(data)
	pair, err := nkeys.ParseDecoratedNKey(data)
	if err != nil { // which may quote it
		return nil, fmt.Errorf("%s: %w", path, errCredentials)
	}
	return pair, nil
}

func newKey(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	pair, err := create()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed() // the pair's own copy, see Wipe
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%s\n", seed)
	return pair, errors.Join(err, f.Close())
}

// writePrivate puts a file, which nobody else may read, in the place of what is there at once.
func writePrivate(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
