package bus

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// MinServer is the oldest NATS server that has what the fleet needs: atomic
// batches and message TTLs.
const MinServer = "2.12.0"

// errAddress says nothing of the address: where it goes wrong is where a
// password may be.
var errAddress = errors.New("the URL of NATS cannot be read: want nats://host:port, with special letters of a password percent-encoded")

// CheckURL reports whether the URL of a Config can be read. Its error shows
// nothing of it.
func CheckURL(url string) error {
	_, err := address(url)
	return err
}

// address returns the servers of a URL without its credentials, fit to be
// shown.
func address(raw string) (string, error) {
	var shown []string
	for one := range strings.SplitSeq(raw, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		// A password with a "/", "?" or "#" in it would be taken for a path, a
		// query or a fragment, and the user's name for a host.
		if err != nil || !slices.Contains(schemes(), u.Scheme) || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return "", errAddress
		}
		shown = append(shown, u.Scheme+"://"+u.Host)
	}
	return strings.Join(shown, ","), nil
}

// schemes are what the client of NATS can speak.
func schemes() []string { return []string{"nats", "tls", "ws", "wss"} }

// older compares two versions of the form major.minor.patch, ignoring what
// follows. A version it cannot read is old.
func older(v, than string) bool {
	a, okA := version(v)
	b, okB := version(than)
	if !okA || !okB {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func version(s string) (v [3]int, ok bool) {
	s, _, _ = strings.Cut(strings.TrimPrefix(s, "v"), "-")
	parts := strings.Split(s, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return v, false
		}
		v[i] = n
	}
	return v, true
}
