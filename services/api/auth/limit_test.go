package auth

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func waitOf(err error) time.Duration {
	if many, ok := errors.AsType[*TooManyError](err); ok {
		return many.Wait
	}
	return 0
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	b := &buckets{rate: Rate{PerSecond: 0.5, Burst: 2}}
	now := time.Unix(1_800_000_000, 0)
	for _, tt := range []struct {
		key   string
		after time.Duration
		wait  time.Duration
	}{
		{"a", 0, 0},
		{"a", 0, 0},
		{"a", 0, 2 * time.Second},
		{"b", 0, 0}, // counts by itself
		{"a", 1500 * time.Millisecond, time.Second},
		{"a", 2 * time.Second, 0},
		{"a", 2 * time.Second, 2 * time.Second},
		{"a", time.Minute, 0},
	} {
		if got := waitOf(b.admit(tt.key, now.Add(tt.after))); got != tt.wait {
			t.Errorf("%s after %v: wait %v, want %v", tt.key, tt.after, got, tt.wait)
		}
	}
	if err := (&buckets{}).admit("a", now); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	if err := (*Limiter)(nil).Token(Principal{}); err != nil {
		t.Errorf("without a limiter: %v", err)
	}
}

func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	b := &buckets{rate: Rate{PerSecond: 1, Burst: 1}}
	now := time.Unix(1_800_000_000, 0)
	for i := range maxBuckets {
		b.admit(fmt.Sprint(i), now) // the first of each
	}
	if err := b.admit("one more", now); err != nil {
		t.Errorf("the first without a place: %v", err)
	}
	if err := b.admit("and another", now); err == nil {
		t.Error("those without a place do not share one")
	}
	if n := len(b.kept); n > maxBuckets+1 {
		t.Errorf("%d are kept", n)
	}
	b.admit("later", now.Add(time.Minute)) // it makes room
	if n := len(b.kept); n != 1 {
		t.Errorf("%d are kept after a rest, want 1", n)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	l := NewLimiter(Limits{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, tt := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:1234", nil, "192.0.2.1"},
		{"192.0.2.1:1234", []string{"198.51.100.1"}, "192.0.2.1"}, // a lie
		{"10.0.0.1:1234", nil, "10.0.0.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"}, // the first is a client's own word
		{"10.0.0.1:1234", []string{"198.51.100.1", "10.2.3.4"}, "198.51.100.1"},
		{"10.0.0.1:1234", []string{"198.51.100.1,garbage"}, "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"[fd00::1]:1234", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::7]:1234", nil, "2001:db8:1:2::/64"},
		{"10.0.0.1:1234", []string{"10.0.0.2, 10.0.0.3"}, "10.0.0.2"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.forwarded
		if got := l.address(r); got != tt.want {
			t.Errorf("%s, forwarded for %q: %q, want %q", tt.remote, tt.forwarded, got, tt.want)
		}
	}
}
