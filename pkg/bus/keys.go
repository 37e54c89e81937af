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
)

// SeedFile is where the seed of a user is, in a directory that [Admit] has written.
func (u User) SeedFile(dir string) string {
	name := string(u.Role)
	if u.Name != "" {
		name += "-" + events.Token(u.Name)
	}
	return filepath.Join(dir, u.holder(), name+".nk")
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
		public, err := seed(u.SeedFile(dir))
		if err != nil {
			return fmt.Errorf("%s: %w", u.SeedFile(dir), err)
		}
		fmt.Fprintf(&keys, "%s: %q\n", u.Key(), public)
	}
	dir = filepath.Join(dir, serverDir)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing secret, for a server that runs as somebody else
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, keysFile), []byte(keys.String()), 0o644); err != nil { //nolint:gosec // public keys
		return err
	}
	return os.WriteFile(filepath.Join(dir, accountsFile), []byte(Accounts(orgs)), 0o644) //nolint:gosec // as above
}

// seed returns the public key of the seed in a file, which it makes if there is none.
func seed(path string) (public string, err error) {
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSeed(path)
	}
	if err != nil {
		return "", err
	}
	defer clear(data)
	pair, err := nkeys.ParseDecoratedNKey(data)
	if err != nil {
		return "", errCredentials
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

func newSeed(path string) (public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", err
	}
	defer clear(seed)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(append(seed, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return pair.PublicKey()
}
