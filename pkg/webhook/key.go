package webhook

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Key is what the signing secrets of all callbacks are derived from. Every process that
// makes or signs deliveries holds it; it is in no record. It prints as "[redacted]".
type Key struct{ bytes [keyBytes]byte }

const (
	keyBytes    = 32
	secretBytes = 32
	keyMode     = fs.FileMode(0o600)
	// maxKeyFile bounds what is read of a key file.
	maxKeyFile = 1 << 10
)

// The prefixes of Standard Webhooks.
const (
	secretPrefix = "whsec_"
	v1           = "v1,"
)

// ErrKey says that what was read is no key.
var ErrKey = errors.New("not a key for callbacks: 32 bytes in base64")

// NewKey returns a fresh key.
func NewKey() *Key {
	k := new(Key)
	rand.Read(k.bytes[:]) // never fails: it ends the program instead
	return k
}

// ParseKey reads a key as a key file has it. Its error quotes nothing.
func ParseKey(text []byte) (*Key, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	defer clear(decoded)
	if err != nil || len(decoded) != keyBytes {
		return nil, ErrKey
	}
	k := new(Key)
	copy(k.bytes[:], decoded)
	return k, nil
}

// Check is what tells one key from another, and nothing else about it: 32 hex digits.
func (k *Key) Check() string {
	h := hmac.New(sha256.New, k.bytes[:])
	h.Write([]byte("rekindle.callbacks.check.v1"))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Secret is the signing secret of a generation of a callback. It prints as "[redacted]".
type Secret struct{ bytes []byte }

// Secret derives a signing secret (HKDF, RFC 5869).
func (k *Key) Secret(callback string, generation uint64) (Secret, error) {
	derived, err := hkdf.Key(sha256.New, k.bytes[:], nil,
		"rekindle.callbacks.secret.v1\x00"+callback+"\x00"+strconv.FormatUint(generation, 10), secretBytes)
	return Secret{derived}, err
}

// Reveal returns the secret as receivers are given it: "whsec_" and base64.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.bytes) }

// Sign returns the signature of a delivery (Standard Webhooks, symmetric): of its id, the
// time of the try in Unix seconds, and its body.
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, s.bytes)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	h.Write(body)
	return v1 + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Signatures is the header webhook-signature: by the current secret, and by those before it,
// each for a day.
func (k *Key) Signatures(c *Callback, id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, generation := range c.Generations(at) {
		secret, err := k.Secret(c.ID, generation)
		if err != nil {
			return "", err
		}
		all = append(all, secret.Sign(id, at, body))
	}
	return strings.Join(all, " "), nil
}

// LoadKey reads a key file, or makes one if there is none, and says which. Any number of
// processes may do so at once: all return with the same key. The file appears whole or
// not at all; the file system must have hard links.
func LoadKey(path string) (k *Key, created bool, err error) {
	k, err = readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	k = NewKey()
	temp, err := k.writeTemp(filepath.Dir(path))
	if err != nil {
		return nil, false, fmt.Errorf("key for callbacks: %w", err)
	}
	defer os.Remove(temp) //nolint:errcheck // a leftover is private and does no harm
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		k, err = readKey(path)
		return k, false, err
	} else if err != nil {
		return nil, false, fmt.Errorf("key for callbacks: %w", err)
	}
	return k, true, syncDir(filepath.Dir(path))
}

// readKey reads what only its owner may read.
func readKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key for callbacks: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("key for callbacks: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("key for callbacks: %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("key for callbacks: %s is open to group or others: run chmod 600 '%s'", path, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	defer clear(text)
	if err != nil {
		return nil, fmt.Errorf("key for callbacks: %w", err)
	}
	k, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func (k *Key) writeTemp(dir string) (string, error) {
	f, err := os.CreateTemp(dir, ".callbacks-*") // mode 0600
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.AppendEncode(nil, k.bytes[:])
	defer clear(text)
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Chmod(keyMode), f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(f.Name()) //nolint:errcheck // a leftover is private and does no harm
		return "", err
	}
	return f.Name(), nil
}

// syncDir makes the names in dir survive a power failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("key for callbacks: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

const redacted = "[redacted]"

// Format writes "[redacted]" for every verb.
func (*Key) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (*Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format writes "[redacted]" for every verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes "[redacted]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
