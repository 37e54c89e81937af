package secret_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// dialog returns the n-th dialog of a secret, open for an hour from now on. Its
// state is its number.
func dialog(n uint64, now time.Time) secret.Dialog {
	state := sha256.Sum256(fmt.Append(nil, n))
	return secret.Dialog{
		Number: n, State: state[:], Verifier: []byte("sealed"), Until: now.Add(time.Hour),
		RedirectURI: "https://rekindle.example/oauth2/callback", ClientID: "app", Asked: true,
	}
}

// What comes with updates has one place, and never that of what somebody asked for.
func TestUnaskedDialogs(t *testing.T) {
	t.Parallel()
	c := new(secret.Consent)
	begin := func(asked bool, want ...uint64) {
		t.Helper()
		n := c.Opened + 1
		d := dialog(n, noon().Add(time.Duration(n)*time.Second))
		d.Asked = asked
		c.Begin(d, noon())
		if diff := cmp.Diff(want, open(c, noon())); diff != "" {
			t.Errorf("open after %d (-want +got):\n%s", n, diff)
		}
	}
	begin(false, 1)
	begin(true, 1, 2)
	begin(false, 2, 3)
	begin(true, 2, 3, 4)
	begin(true, 2, 3, 4, 5)
	begin(true, 2, 3, 4, 5, 6)
	begin(true, 2, 3, 4, 5, 6, 7)
	begin(true, 2, 3, 4, 5, 6, 7, 8)
	begin(true, 2, 3, 4, 5, 6, 7, 8, 9) // seven that somebody asked for
	begin(true, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	begin(false, 2, 4, 5, 6, 7, 8, 9, 10, 11)
	begin(true, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	begin(false, 4, 5, 6, 7, 8, 9, 10, 12, 13)
	if got, want := c.AskedUntil(), noon().Add(time.Hour+12*time.Second); !got.Equal(want) {
		t.Errorf("asked until %v, want %v", got, want)
	}
}

func TestNeedsConsent(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		secret secret.Secret
		want   bool
	}{
		"a kind that needs nobody": {secret.Secret{Kind: secret.OAuth2}, false},
		"without a grant":          {secret.Secret{Kind: secret.OAuth2Google}, true},
		"asked, without a grant":   {secret.Secret{Kind: secret.OAuth2Google, Authorization: &secret.Authorization{AskedUntil: noon()}}, true},
		"a consent waits":          {secret.Secret{Kind: secret.OAuth2Google, Authorization: &secret.Authorization{ConsentedAt: noon()}}, false},
		"with a grant":             {secret.Secret{Kind: secret.OAuth2Google, Authorization: &secret.Authorization{AuthorizedAt: noon()}}, false},
	} {
		if got := row.secret.NeedsConsent(); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// open lists the numbers of the dialogs that can be answered at the time now.
func open(c *secret.Consent, now time.Time) (numbers []uint64) {
	for n := range c.Opened + 2 {
		if d, ok := c.Find(fmt.Sprint(n), now); ok {
			numbers = append(numbers, d.Number)
		}
	}
	return numbers
}

func TestDialogs(t *testing.T) {
	t.Parallel()
	c := new(secret.Consent)
	for n := range uint64(3) {
		c.Begin(dialog(n+1, noon().Add(time.Duration(n)*time.Minute)), noon().Add(time.Duration(n)*time.Minute))
	}
	check := func(what string, now time.Time, want ...uint64) {
		t.Helper()
		if diff := cmp.Diff(want, open(c, now)); diff != "" {
			t.Errorf("%s: open dialogs (-want +got):\n%s", what, diff)
		}
	}
	check("three", noon(), 1, 2, 3)
	check("just before the first ends", noon().Add(time.Hour-1), 1, 2, 3)
	check("at its end", noon().Add(time.Hour), 2, 3)

	before := c.Clone()
	c.End(dialog(2, noon())) // an older link must not undo the answer
	check("the second was answered", noon(), 3)
	if diff := cmp.Diff([]uint64{1, 2, 3}, open(before, noon())); diff != "" {
		t.Errorf("what was cloned has changed:\n%s", diff)
	}
	c.End(dialog(2, noon())) // which is over
	check("answered again", noon(), 3)

	over := noon().Add(time.Hour + 2*time.Minute) // the third is, too
	c.Begin(dialog(4, over), over)
	check("after all were over", over, 4)
	if len(c.Open) != 1 || c.Opened != 4 {
		t.Errorf("%d dialogs are kept, %d counted; want 1 and 4", len(c.Open), c.Opened)
	}
}

func TestFindRefuses(t *testing.T) {
	t.Parallel()
	c := new(secret.Consent)
	c.Begin(dialog(1, noon()), noon())
	c.Begin(secret.Dialog{Number: 2, Until: noon().Add(time.Hour)}, noon()) // a record without a state
	hash := sha256.Sum256([]byte("1"))
	for _, state := range []string{"", "2", "1 ", string(hash[:])} {
		if d, ok := c.Find(state, noon()); ok {
			t.Errorf("state %q finds dialog %d", state, d.Number)
		}
	}
}

// However many dialogs are opened, the last ones can be answered and the record
// stays small.
func TestDialogsAreBounded(t *testing.T) {
	t.Parallel()
	c := new(secret.Consent)
	for n := range uint64(30) {
		before := c.Clone()
		was := open(before, noon())
		c.Begin(dialog(n+1, noon()), noon())
		if len(c.Open) > secret.MaxDialogs {
			t.Fatalf("%d dialogs are open", len(c.Open))
		}
		if !cmp.Equal(was, open(before, noon())) {
			t.Fatal("what was cloned has changed")
		}
	}
	last := []uint64{23, 24, 25, 26, 27, 28, 29, 30}
	if diff := cmp.Diff(last, open(c, noon())); diff != "" {
		t.Errorf("open dialogs (-want +got):\n%s", diff)
	}
	for n := range uint64(12) { // by a program that allows more
		c.Open = append(c.Open, dialog(31+n, noon()))
	}
	if c.Begin(dialog(43, noon()), noon()); len(c.Open) != secret.MaxDialogs || c.Open[0].Number != 36 {
		t.Errorf("%d dialogs are open from %d on, want %d from 36 on", len(c.Open), c.Open[0].Number, secret.MaxDialogs)
	}
}
