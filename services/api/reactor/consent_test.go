package reactor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// consents does what a person does in the last dialog of a secret, and an
// exchanger with the code:
//
//	! consent SE1     the person consents
//	! refuse SE1      the person does not
//	! authorize SE1   the exchange of the code ends well; the grant is for a year
//	! warn SE1        the same, but there is something to warn of
//	! hold SE1        it brings another account's grant
//	! unprove SE1     it fails
//
// It reports whether what was to happen was among them.
func (c *conversation) consents(t *testing.T, what []string) bool {
	t.Helper()
	switch what[0] {
	case "consent":
		c.consent(t, what[1])
	case "refuse":
		if _, err := c.Service.Consent(t.Context(), api.Consent{State: c.states[what[1]], Error: "access_denied"}); err != nil {
			t.Fatal(err)
		}
	case "authorize", "warn", "hold", "unprove":
		c.exchanged(t, what[0], what[1])
	default:
		return false
	}
	return true
}

// consent returns when the code waits and is seen to.
func (c *conversation) consent(t *testing.T, id string) {
	t.Helper()
	given := api.Consent{State: c.states[id], Code: seal.NewPlaintext("code")}
	go func() {
		_, err := c.Service.Consent(context.WithoutCancel(t.Context()), given)
		c.verdicts <- err
	}()
	apitest.Watch(t, c.State, state.SecretKey(id), func(records map[string][]byte) bool {
		return bytes.Contains(records[state.SecretKey(id)], []byte(`"consented_at"`))
	})
	c.await(t)
}

// exchanged ends the exchange of the code.
func (c *conversation) exchanged(t *testing.T, how, id string) {
	t.Helper()
	_, _, err := secret.Store{State: c.State}.Update(t.Context(), id, func(s *secret.Secret) error {
		at := s.Authorization.ConsentedAt
		o := &secret.Outcome{Decision: s.Decision, Action: secret.Authorize, At: at, Environment: s.Environment}
		switch how {
		case "hold":
			o.Held = true
		case "unprove":
			o.Failure = &secret.Failure{
				ID: secret.NewUUID(), Reason: "no_refresh_token", Detail: "the consent brought no refresh token: authorize again",
				RequestID: secret.NewRequestID(), At: at,
			}
		case "warn":
			o.Warnings = []secret.Warning{{Code: "fewer_scopes", Detail: "fewer scopes were granted than were asked for, without mail"}}
			fallthrough
		default:
			o.ExpiresAt, o.RefreshAt = secret.Dates(at, 60*24*time.Hour, 7*24*time.Hour)
			o.Authorized = &secret.Authorized{At: at, ReauthorizeBy: at.AddDate(0, 0, 365), Reminders: secret.DefaultReminders()}
		}
		s.Apply(o, at)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-c.verdicts; err != nil {
		t.Fatal(err)
	}
}

// remember keeps the state of a dialog that an answer opens.
func (c *conversation) remember(body []byte) {
	var answer struct {
		Data struct {
			ID   string
			Meta struct {
				URL string `json:"authorization_url"`
			}
		}
	}
	if json.Unmarshal(body, &answer) != nil {
		return // a list
	}
	if to, err := url.Parse(answer.Data.Meta.URL); err == nil && to.Query().Has("state") {
		c.states[answer.Data.ID] = to.Query().Get("state")
	}
}

// privateKey is a private key as it stands in a JSON text.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return strings.ReplaceAll(string(text), "\n", `\n`)
}
