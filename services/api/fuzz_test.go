package api

import (
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// FuzzState: a state leads to the secret it was made for, and what is no state
// leads nowhere.
func FuzzState(f *testing.F) {
	const id = "SE0123456789ab4cde8f0123456789abcd"
	f.Add(newState(id))
	f.Add(strings.Repeat("A", base64.RawURLEncoding.EncodedLen(idBytes+stateBytes)))
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		found := secretOf(text)
		if found == "" {
			return
		}
		if !secret.ValidID(secret.PrefixSecret, found) || secretOf(newState(found)) != found {
			t.Errorf("%q leads to %q", text, found)
		}
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != text {
			t.Errorf("%q is another way to write a state", text)
		}
	})
}

// FuzzApply: whatever is stored, the projection goes on, and what goes away is
// gone from it.
func FuzzApply(f *testing.F) {
	const secretID, propertyID = "SE0123456789ab4cde8f0123456789abcd", "PR0123456789ab4cde8f0123456789abcd"
	for key, value := range map[string]string{
		state.SecretKey(secretID):  `{"id":"` + secretID + `","property":"` + propertyID + `","environment":"EN1","deleted_at":"9999-12-31T23:59:59Z"}`,
		state.SecretKey("SE1"):     `{"id":"SE1","credentials":{"client_id":"c","options":{"a":"b"},"scopes":["x"]}}`,
		"property." + propertyID:   `{"id":"` + propertyID + `","company":"CO1"}`,
		"environment.EN1":          `{"id":"EN1","property":"` + propertyID + `"}`,
		"company.CO1":              `{"id":"CO1","org":"acme"}`,
		"host.HT1":                 `{"id":"HT1","property":"` + propertyID + `","encrypted_private_key":{"generation":1,"sealed":"AA=="}}`,
		"note.NT1":                 `"` + secretID + `"`,
		"element.DE1":              `{"id":"DE1","property":"` + propertyID + `","origin":"DE1","secrets":{"staging":"` + secretID + `"}}`,
		"library.LB1":              `{"id":"LB1","state":"published","environment":"EN1","elements":[{"id":"DE1","origin":"DE2"}],"extension":true,"published_at":"2025-11-03T08:15:00Z"}`,
		"build.BL1":                `{"id":"BL1","library":"LB1","environment":"EN1","status":"pending"}`,
		"slot." + propertyID + ".": `"EN1"`,
		state.KeysetKey:            `{"type":"rekindle.keyset.v1"}`,
		"":                         `null`,
	} {
		f.Add(key, []byte(value), key, []byte(value))
		f.Add(key, []byte(value), state.SecretKey(secretID), []byte(`{"id":"x"}`))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte, another string, second []byte) {
		p := newProjection(slog.New(slog.DiscardHandler), nil)
		for i, c := range []state.Change{{Key: key, Value: value}, {Key: another, Value: second}, {Key: key}, {Key: another}} {
			c.Revision = state.Revision(i + 1)
			p.apply(c)
			if i == 1 {
				p.ready()
			}
			if p.revision != c.Revision {
				t.Fatalf("at revision %d, want %d", p.revision, c.Revision)
			}
			for _, r := range p.secrets.all() {
				if s := r.secret(); s.ID != r.id {
					t.Fatalf("the row of %q is unpacked as %q", r.id, s.ID)
				}
			}
		}
	})
}

// FuzzTestAnswer: an answer to a test that can be read has an outcome.
func FuzzTestAnswer(f *testing.F) {
	for _, body := range []string{`{"busy":true}`, `{"exchange":{"access_token":"a"}}`, `{"exchange":{"error":null}}`, `{"exchange":{"error":"invalid_client"},"warning":"w"}`, `{"exchange":[]}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var a events.TestAnswer
		if json.Unmarshal(body, &a) != nil {
			return
		}
		if outcomeOf(a, nil) == events.TestUnknown {
			t.Error("unknown, though it was answered")
		}
	})
}

// FuzzParcel: what is in the outbox is read or left alone, and nothing that can be read
// keeps what is behind it from being told.
func FuzzParcel(f *testing.F) {
	f.Add([]byte(`{"org":"acme","events":[{"header":{"ce-id":["1"]},"body":{}}],"entry":{"id":"AE1","resource":"secret","verb":"created"}}`))
	f.Add([]byte(`{"entry":null,"events":[null]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o := newOutbox(slog.New(slog.DiscardHandler))
		o.apply("1", state.Change{Key: state.OutboxKey("1"), Value: body, Revision: 1}, time.Time{})
		_, err := readParcel("1", state.Change{Value: body})
		if list := o.due(time.Time{}.Add(relayAfter), relayBatch); (len(list) == 1) != (err == nil) {
			t.Fatalf("%d are due, read with the error %v", len(list), err)
		}
		o.apply("1", state.Change{Key: state.OutboxKey("1"), Revision: 2}, time.Time{})
		if left := o.due(time.Time{}.Add(2*relayAfter), relayBatch); len(left) > 0 {
			t.Error("what was removed is due")
		}
	})
}
