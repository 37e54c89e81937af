package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// envBootstrap holds the first administrator's bearer token. It has no flag:
// what stands on a command line is seen by everyone on the machine.
const envBootstrap = envPrefix + "_BOOTSTRAP_TOKEN"

// bootstrapFile is where a token that was made is kept, in the data directory.
const bootstrapFile = "bootstrap-token"

// Bounds of a bearer token, in characters.
const (
	minToken = 16
	maxToken = 4096
)

// tokenForm is what isToken asks for, in words.
const tokenForm = "16 to 4096 characters, all of them visible ASCII"

func isToken(token string) bool {
	return minToken <= len(token) && len(token) <= maxToken &&
		!strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

// firstToken returns the first administrator's bearer token: that of the
// environment, that of an earlier start, or a new one, which is written to the
// data directory for its owner only. Where it is written is logged, what it is
// never.
func (f *fleet) firstToken() (string, error) {
	if f.bootstrap != "" {
		return f.bootstrap, nil
	}
	path := filepath.Join(f.dataDir, bootstrapFile)
	token, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	if err := os.MkdirAll(f.dataDir, 0o700); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	token = rand.Text()
	switch err := writeToken(path, token); {
	case errors.Is(err, fs.ErrExist): // somebody was quicker: theirs is the token
		return readToken(path)
	case err != nil:
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	f.ops.Logger.Info("wrote the first administrator's bearer token", "path", path)
	return token, nil
}

// writeToken makes the file, whole or not at all; the error is fs.ErrExist when
// it is there.
func writeToken(path, token string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+bootstrapFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // a leftover is private and does no harm
	_, err = temp.WriteString(token + "\n")
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), path)
}

// readToken reads a file that is its owner's only.
func readToken(path string) (string, error) {
	info, err := os.Stat(path) // before it is opened: to open a pipe is to wait
	if err != nil {
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("bootstrap token: %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("bootstrap token: %s is open to group or others: run chmod 600 '%s'", path, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, maxToken+3)) // a line's end, and one too much
	if err != nil {
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	token := strings.TrimSpace(string(body))
	if !isToken(token) {
		return "", fmt.Errorf("%s must hold %s: delete it, and a new one is made", path, tokenForm)
	}
	return token, nil
}
