package main

import (
	"crypto/rand"
	"errors"
	"fmt"
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

// minToken is the shortest bearer token that is accepted, in characters.
const minToken = 16

// bootstrapToken returns the first administrator's bearer token: that of the
// environment, that of an earlier start, or a new one, which is written to the
// data directory for its owner only. Where it is written is logged, what it is
// never.
func (f *fleet) bootstrapToken() (string, error) {
	if token := os.Getenv(envBootstrap); token != "" {
		if len(token) < minToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", &usageError{fmt.Errorf("%s must have at least %d characters, all of them visible ASCII", envBootstrap, minToken)}
		}
		return token, nil
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
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	if _, err := file.WriteString(token + "\n"); err != nil {
		return "", errors.Join(fmt.Errorf("bootstrap token: %w", err), file.Close())
	}
	f.ops.Logger.Info("wrote the first administrator's bearer token", "path", path)
	return token, file.Close()
}

func readToken(path string) (string, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("bootstrap token: %w", err)
	}
	token := strings.TrimSpace(string(body))
	if len(token) < minToken {
		return "", fmt.Errorf("%s holds no token of at least %d characters: delete it, and a new one is made", path, minToken)
	}
	return token, nil
}
