package secret_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// TestContractWindows is the table of test vectors of contract A11, row by row.
// Google's numbers are fixed by the provider, so no window is held against them.
func TestContractWindows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind              secret.Kind
		offset, expiresIn int64
		refreshAfter      time.Duration
		ok                bool
	}{
		{"oauth2", 14400, 86400, 20 * time.Hour, true},
		{"oauth2", 28800, 36000, 2 * time.Hour, false},
		{"oauth2", 14400, 36000, 6 * time.Hour, true},
		{"oauth2", 14400, 28800, 4 * time.Hour, true},
		{"oauth2", 14400, 28799, 14399 * time.Second, false},
		{"oauth2", 0, 28800, 8 * time.Hour, true},
		{"oauth2", 21600, 28800, 2 * time.Hour, false},
		{"oauth2-jwt", 1800, 3600, 30 * time.Minute, true},
		{"oauth2-jwt", 1800, 2700, 15 * time.Minute, false},
		{"oauth2-jwt", 0, 3599, 3599 * time.Second, false},
		{"oauth2-google", 1800, 3600, 30 * time.Minute, true},

		// Limits the table leaves out.
		{"oauth2", 14401, 28800, 14399 * time.Second, false},
		{"oauth2", 14401, 28801, 4 * time.Hour, true},
		{"oauth2", 0, 28799, 28799 * time.Second, false},
		{"oauth2-jwt", 0, 3600, time.Hour, true},
		{"oauth2-jwt", 1801, 3600, 1799 * time.Second, false},
	}
	now, policy := noon(), secret.DefaultPolicy()
	for _, test := range tests {
		w, lifetime, offset := policy.Window(test.kind), secret.Lifetime(test.expiresIn), seconds(test.offset)
		err := w.Check(lifetime, offset)
		if (err == nil) != test.ok {
			t.Errorf("%s offset %d, expires_in %d: got error %v, want ok %v", test.kind, test.offset, test.expiresIn, err, test.ok)
		}
		if e, is := errors.AsType[*secret.WindowError](err); err != nil && (!is || e.Got >= e.Want) {
			t.Errorf("%s offset %d, expires_in %d: error %v says %v ≥ %v", test.kind, test.offset, test.expiresIn, err, e.Got, e.Want)
		}
		expiresAt, refreshAt := secret.Dates(now, lifetime, offset)
		if got := refreshAt.Sub(now); got != test.refreshAfter || expiresAt.Sub(now) != lifetime {
			t.Errorf("%s offset %d, expires_in %d: refresh after %v, want %v", test.kind, test.offset, test.expiresIn, got, test.refreshAfter)
		}
	}
}

func TestDefaultPolicy(t *testing.T) {
	t.Parallel()
	p := secret.DefaultPolicy()
	oauth2 := secret.Window{MinValidity: seconds(28800), MinInterval: seconds(14400), DefaultOffset: seconds(14400)}
	jwt := secret.Window{MinValidity: seconds(3600), MinInterval: seconds(1800), DefaultOffset: seconds(1800)}
	for k, want := range map[secret.Kind]secret.Window{
		secret.OAuth2: oauth2, secret.OAuth2ClientCredentials: oauth2, secret.OAuth2JWT: jwt,
		secret.Token: {}, secret.SimpleHTTP: {}, "unknown": {},
		secret.OAuth2Google: {}, secret.OAuth2LinkedIn: {}, secret.OAuth2Amazon: {}, // as the provider has it
	} {
		if got := p.Window(k); got != want {
			t.Errorf("window of %s is %+v, want %+v", k, got, want)
		}
	}
}

// A kind without a window still refuses a refresh before the token exists.
func TestNoWindow(t *testing.T) {
	t.Parallel()
	var none secret.Window
	for _, test := range []struct {
		lifetime, offset time.Duration
		ok               bool
	}{
		{seconds(2), seconds(1), true},
		{seconds(1), 0, true},
		{seconds(1), seconds(1), false},
		{seconds(1), seconds(2), false},
		{secret.MaxLifetime, secret.MaxLifetime, false},
	} {
		if err := none.Check(test.lifetime, test.offset); (err == nil) != test.ok {
			t.Errorf("lifetime %v, offset %v: got error %v, want ok %v", test.lifetime, test.offset, err, test.ok)
		}
	}
}

func TestWindowErrorText(t *testing.T) {
	t.Parallel()
	w := secret.DefaultPolicy().Window(secret.OAuth2)
	for _, test := range []struct {
		lifetime, offset int64
		want             string
	}{
		{3600, 0, "the token's lifetime (expires_in) is 3600 s, but at least 28800 s is required"},
		{36000, 28800, "the time between refreshes (expires_in − refresh_offset) is 7200 s, but at least 14400 s is required"},
		{28800, 28801, "the time between refreshes (expires_in − refresh_offset) is -1 s, but at least 14400 s is required"},
	} {
		err := w.Check(seconds(test.lifetime), seconds(test.offset))
		if err == nil || err.Error() != test.want {
			t.Errorf("got error %v, want %s", err, test.want)
		}
	}
}

// No number a provider or a client sends overflows a duration.
func TestSecondsAreBounded(t *testing.T) {
	t.Parallel()
	wraps := int64(18446744074) // times 1e9 it is 290 ms, in 64 bits
	for _, test := range []struct {
		seconds int64
		want    time.Duration
	}{
		{0, 0},
		{1, time.Second},
		{86400, 24 * time.Hour},
		{int64(secret.MaxLifetime / time.Second), secret.MaxLifetime},
		{int64(secret.MaxLifetime/time.Second) + 1, secret.MaxLifetime},
		{wraps, secret.MaxLifetime},
		{math.MaxInt64, secret.MaxLifetime},
		{-1, 0},
		{-wraps, 0},
		{math.MinInt64, 0},
	} {
		if got := secret.Lifetime(test.seconds); got != test.want {
			t.Errorf("Lifetime(%d) = %v, want %v", test.seconds, got, test.want)
		}
		if got := (secret.Credentials{RefreshOffset: &test.seconds}).Offset(); got != test.want {
			t.Errorf("Offset of %d = %v, want %v", test.seconds, got, test.want)
		}
	}
	if got := (secret.Credentials{}).Offset(); got != 0 {
		t.Errorf("no offset is %v, want 0", got)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind, canonical secret.Kind
		known, expires  bool
		provider        string
		hidden          string
	}{
		{secret.Token, secret.Token, true, false, "", "token"},
		{secret.SimpleHTTP, secret.SimpleHTTP, true, false, "", "password"},
		{secret.OAuth2, secret.OAuth2, true, true, "", "client_secret"},
		{secret.OAuth2ClientCredentials, secret.OAuth2, true, true, "", "client_secret"},
		{secret.OAuth2JWT, secret.OAuth2JWT, true, true, "", "private_key"},
		{secret.OAuth2Google, secret.OAuth2Google, true, true, "google", ""},
		{secret.OAuth2LinkedIn, secret.OAuth2LinkedIn, true, true, "linkedin", ""},
		{secret.OAuth2Amazon, secret.OAuth2Amazon, true, true, "amazon", ""},
		{secret.ProviderKind("quantum"), "oauth2-quantum", false, true, "quantum", ""}, // a deployment may have it
		{"oauth2-", "oauth2-", false, false, "", ""},
		{"OAuth2", "OAuth2", false, false, "", ""},
		{"", "", false, false, "", ""},
	} {
		k := test.kind
		if k.Canonical() != test.canonical || k.Known() != test.known || k.Expires() != test.expires {
			t.Errorf("%q: canonical %q, known %v, expires %v; want %q, %v, %v",
				k, k.Canonical(), k.Known(), k.Expires(), test.canonical, test.known, test.expires)
		}
		if k.Hidden() != test.hidden {
			t.Errorf("%q: hidden is %q, want %q", k, k.Hidden(), test.hidden)
		}
		if k.Provider() != test.provider || k.Interactive() != (test.provider != "") {
			t.Errorf("%q: provider %q, interactive %v; want %q", k, k.Provider(), k.Interactive(), test.provider)
		}
	}
}
