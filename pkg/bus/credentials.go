package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// CheckCredentials reports whether a file may hold the credentials of a [Config]. Its
// error shows nothing of it.
func CheckCredentials(path string) error {
	_, err := credentials(path)
	return err
}

const (
	// maxCredentials bounds such a file.
	maxCredentials = 64 << 10
	// beginsJWT is in a file of a JWT and a seed, and in no other.
	beginsJWT = "BEGIN NATS USER JWT"
	// beginsSeed begins the line with the seed of a user's nkey.
	beginsSeed = "SU"
)

var errCredentials = errors.New("it holds neither the seed of a user's nkey nor a JWT with one")

// credentials returns how to prove who we are by a file. The file is read anew whenever
// there is something to prove, so it may be replaced.
func credentials(path string) (nats.Option, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	if bytes.Contains(data, []byte(beginsJWT)) {
		return nats.UserCredentials(path), nil
	}
	for line := range bytes.Lines(data) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte(beginsSeed)) {
			option, err := nats.NkeyOptionFromSeed(path)
			if err != nil { // which may quote it
				return nil, errCredentials
			}
			return option, nil
		}
	}
	return nil, errCredentials
}

// readPrivate reads a file that nobody else may read. Its errors do not show the path, which
// may be a secret in the wrong place.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, pathless(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others may read it, its mode is %04o: make that 0600", info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCredentials))
	return data, pathless(err)
}

// pathless is an error without the path of the file it is about.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// identity returns the options by which the server knows who connects: with the
// credentials of a file, or with what the Config has else.
func (cfg *Config) identity(file string, role Role) ([]nats.Option, error) {
	var opts []nats.Option
	if role != "" {
		opts = append(opts, nats.CustomInboxPrefix(inboxOf(role)))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	switch {
	case file != "":
		proof, err := credentials(file)
		if err != nil {
			return nil, fmt.Errorf("NATS credentials: %w", err)
		}
		opts = append(opts, proof)
	case cfg.User != "":
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	return opts, nil
}

// forbidden returns what the server has refused for lack of permission, if that is what
// an error says.
func forbidden(err error) (what string, ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	_, what, _ = strings.Cut(err.Error(), "Permissions Violation for ")
	return oneLine(what), true
}
