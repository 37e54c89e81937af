package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"
)

// MaxDialogs is how many dialogs of a secret that somebody asked for may be open
// at once: whoever was given a link is not turned away because somebody else was
// given one, too. Beside them there is a place for one that nobody asked for.
const MaxDialogs = 8

// Consent is the record of the dialogs in which a person may consent to a secret.
// It is written together with the secret's own record and only by the api, which
// cannot open what is sealed in it.
type Consent struct {
	// Opened counts the dialogs.
	Opened uint64 `json:"opened"`
	// Open are the dialogs that nobody has answered, oldest first.
	Open []Dialog `json:"open,omitempty"`
	// Answered is the dialog that was answered last, and Code what it brought,
	// sealed for it. A code is good once; what is left of it here is worthless.
	Answered *Dialog `json:"answered,omitempty"`
	Code     []byte  `json:"code,omitempty"`
	// AnsweredAt is the ConsentedAt of the record that was written with it.
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	// Callback is what else of the answer belongs to the grant
	// (provider.Answer.KeepCallback), and the account if the answer names it.
	Callback map[string]string `json:"callback,omitempty"`
	// Imported is a consent that was given elsewhere, with its refresh token, for
	// an exchanger to adopt: Authorization.Imported says whether it still may.
	Imported *ConsentGrant `json:"imported,omitempty"`
}

// Dialog is one request for a person's consent.
type Dialog struct {
	// Number tells the dialogs of a secret apart. What is sealed for one is
	// bound to it.
	Number uint64 `json:"number"`
	// State is the SHA-256 of the state parameter, which is nowhere else.
	State []byte `json:"state,omitempty"`
	// Verifier is the sealed code verifier (RFC 7636).
	Verifier []byte `json:"verifier,omitempty"`
	// RedirectURI has to be sent again with the code (RFC 6749 section 4.1.3).
	RedirectURI string `json:"redirect_uri"`
	// ClientID is the app that asks.
	ClientID string    `json:"client_id"`
	Until    time.Time `json:"until"`
	// Asked tells that somebody asked for it. The others came with an update of
	// something else, and have one place among them.
	Asked bool `json:"asked,omitempty"`
}

// The fields that are sealed for a dialog, and for a consent.
const (
	FieldCode         = "authorization code"
	FieldVerifier     = "code verifier"
	FieldRefreshToken = "refresh token"
)

// Begin adds a dialog, with a number of its own, in place of those that are over
// at the time now. When there are too many the oldest makes room; one that nobody
// asked for takes the place of another such, and never that of one somebody did.
func (c *Consent) Begin(d Dialog, now time.Time) {
	c.Opened = d.Number
	c.Open = slices.DeleteFunc(c.Open, func(open Dialog) bool { return !open.Until.After(now) })
	places := 1
	if d.Asked {
		places = MaxDialogs
	}
	for i, open := range slices.Backward(c.Open) {
		if open.Asked != d.Asked {
			continue
		}
		if places--; places < 1 {
			c.Open = slices.Delete(c.Open, i, i+1)
		}
	}
	c.Open = append(c.Open, d)
}

// AskedUntil is until when a dialog is open that somebody asked for; zero when
// none is.
func (c *Consent) AskedUntil() (until time.Time) {
	for _, d := range c.Open {
		if d.Asked && d.Until.After(until) {
			until = d.Until
		}
	}
	return until
}

// Find returns the dialog with this state that is open at the time now.
func (c *Consent) Find(state string, now time.Time) (Dialog, bool) {
	hash := sha256.Sum256([]byte(state))
	i := slices.IndexFunc(c.Open, func(d Dialog) bool {
		return subtle.ConstantTimeCompare(d.State, hash[:]) == 1 && d.Until.After(now)
	})
	if i < 0 {
		return Dialog{}, false
	}
	return c.Open[i], true
}

// End closes all dialogs up to this one: a link that is older than an answer
// must not undo it.
func (c *Consent) End(d Dialog) {
	c.Open = slices.DeleteFunc(c.Open, func(open Dialog) bool { return open.Number <= d.Number })
}

// Clone returns a record that can be changed without changing c.
func (c *Consent) Clone() *Consent {
	clone := *c
	clone.Open = slices.Clone(c.Open)
	return &clone
}

// NeedsConsent reports whether a person has to consent before there is anything to
// exchange: the secret has no grant, and no consent waits to become one.
func (s *Secret) NeedsConsent() bool { return s.withoutGrant() && !s.ConsentWaits() }
