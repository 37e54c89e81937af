package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

// wire stands before the provider and counts what arrives, for the decision that
// is claimed as it arrives: a claim is acknowledged before its request leaves, so
// there is one, or the request is nobody's. Whose request it is follows from the
// code or the refresh token in it, and from which answer that came.
type wire struct {
	next  http.Handler
	vault secret.Vault

	mu    sync.Mutex
	owner map[string]string // of each code and refresh token, the secret
	sent  map[string][]sent
}

// sent is a request as it arrived, and the decision that it was claimed for; 0 is
// none.
type sent struct {
	at       time.Time
	decision uint64
}

func newWire(next http.Handler) *wire {
	return &wire{next: next, owner: map[string]string{}, sent: map[string][]sent{}}
}

// learn notes whose a code or a refresh token is.
func (w *wire) learn(token, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owner[token] = id
}

// ServeHTTP counts a token request, and sees to it that the provider gets it,
// whatever becomes of whoever sent it.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/token" {
		w.next.ServeHTTP(rw, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // whoever sent it is dead, and it was not all there
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	id := w.count(r.Context(), body)
	answer := &tee{ResponseWriter: rw}
	w.next.ServeHTTP(answer, r)
	var got struct {
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal(answer.body.Bytes(), &got) == nil && got.RefreshToken != "" {
		w.learn(got.RefreshToken, id)
	}
}

// count counts a request and returns whose it is.
func (w *wire) count(ctx context.Context, body []byte) string {
	form, _ := url.ParseQuery(string(body)) // then it is nobody's
	w.mu.Lock()
	id := w.owner[form.Get("code")+form.Get("refresh_token")]
	w.mu.Unlock()
	var decision uint64
	if g, _, err := w.vault.Grant(ctx, id); err == nil && g.Claim != nil && !g.Claim.Until.IsZero() {
		decision = g.Claim.Decision
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[id] = append(w.sent[id], sent{time.Now(), decision})
	return id
}

// fate says how many requests there were for a secret, besides that of its code.
func (w *wire) fate(id string) (f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[uint64]bool{}
	for i, s := range w.sent[id] {
		switch {
		case s.decision == 0:
			f.unheld++
		case seen[s.decision]:
			f.again++
		}
		seen[s.decision] = true
		if i == 2 {
			f.after = s.at.Sub(w.sent[id][1].at)
		}
	}
	f.requests = len(w.sent[id]) - 1
	return f
}

// strangers says how many requests were nobody's.
func (w *wire) strangers() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent[""])
}

// tee keeps what is answered.
type tee struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (t *tee) Write(p []byte) (int, error) {
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

// Unwrap lets the sandbox cut connections.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// A count that could not see a second request would prove nothing.
func TestWireCounts(t *testing.T) {
	const id = "SE0123456789abcdef0123456789abcdef"
	w := newWire(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, `{"refresh_token":"second"}`)
	}))
	w.vault = secret.Vault{State: statetest.New()}
	w.learn("code", id)
	ask := func(form string) {
		w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form)))
	}
	var rev state.Revision
	claim := func(c *secret.Claim) {
		var err error
		if rev, err = w.vault.PutGrant(t.Context(), id, &secret.Grant{Claim: c}, rev); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(time.Minute)

	claim(&secret.Claim{Decision: 1, Until: until})
	ask("code=code")
	claim(&secret.Claim{Decision: 2, Until: until})
	ask("refresh_token=second")
	ask("refresh_token=second")
	claim(&secret.Claim{Decision: 2})
	ask("refresh_token=second")
	claim(nil)
	ask("refresh_token=second")
	ask("refresh_token=of+nobody")

	got := w.fate(id)
	if got.requests != 4 || got.again != 1 || got.unheld != 2 {
		t.Errorf("%d requests, %d for a decision that had one, %d without a claim; want 4, 1, 2", got.requests, got.again, got.unheld)
	}
	if w.strangers() != 1 {
		t.Errorf("%d requests of nobody, want 1", w.strangers())
	}
}
