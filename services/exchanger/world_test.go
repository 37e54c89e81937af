package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// What is planted, to be looked for where it must not be.
const (
	plantedToken    = "planted-token-5d1e"
	plantedPassword = "planted-password-83c0"
	plantedSecret   = "planted-client-secret-b4f7"
	plantedPrefix   = "planted-access-token-"
)

// The tokens of these tests.
const (
	tokenLifetime = 10 * time.Hour
	tokenOffset   = 4 * time.Hour
)

// tokenServer is a sandbox behind a real HTTP server.
type tokenServer struct {
	*sandbox.Server
	url    string
	client *Client
	// arrival is told of every request, with the secret it is for, before the
	// sandbox sees it.
	arrival atomic.Pointer[func(id string)]
}

func newProvider(t testing.TB, now func() time.Time) *tokenServer {
	t.Helper()
	p := &tokenServer{Server: sandbox.New(sandbox.Config{OpenClients: true, TokenPrefix: plantedPrefix, Lifetime: tokenLifetime, Now: now})}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if told := p.arrival.Load(); told != nil {
			(*told)(r.URL.Query().Get("secret"))
		}
		w.Header().Set("Date", now().UTC().Format(http.TimeFormat)) // not the real time
		p.Handler().ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	srv.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	srv.Start()
	p.url = srv.URL
	p.client = NewClient(EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	t.Cleanup(func() {
		p.client.Close()
		cancel()
		srv.Close()
	})
	return p
}

// world is what exchangers work with.
type world struct {
	t        rapid.TB     // a *testing.T or *rapid.T
	clock    atomic.Int64 // Unix milliseconds
	store    *audit
	provider *tokenServer
	ring     *seal.Keyring
	sealer   *seal.Sealer
	events   *bulletin
	logs     *logbook
	spans    *tracetest.SpanRecorder
	tracer   trace.Tracer
	metrics  *prometheus.Registry // of the first exchanger
	made     int                  // exchangers
	apps     map[string]App       // of all exchangers
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := newWorldOf(t)
	w.provider = newProvider(t, w.now)
	told := w.store.requested
	w.provider.arrival.Store(&told)
	return w
}

// newWorldOf returns a world without a provider.
func newWorldOf(t rapid.TB) *world {
	t.Helper()
	w := &world{
		t: t, store: &audit{Store: statetest.New()}, events: &bulletin{}, logs: &logbook{},
		spans: tracetest.NewSpanRecorder(), metrics: prometheus.NewPedanticRegistry(), apps: map[string]App{},
	}
	w.clock.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixMilli())
	w.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)).Tracer("test")
	w.useRing(newRing(t, w.now()))
	return w
}

func newRing(t rapid.TB, now time.Time) *seal.Keyring {
	t.Helper()
	ring, err := seal.NewKeyring(now)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (w *world) useRing(ring *seal.Keyring) {
	w.t.Helper()
	sealer, err := seal.NewSealer(ring.Keyset())
	if err != nil {
		w.t.Fatal(err)
	}
	w.ring, w.sealer = ring, sealer
}

func (w *world) now() time.Time          { return time.UnixMilli(w.clock.Load()).UTC() }
func (w *world) advance(d time.Duration) { w.clock.Add(d.Milliseconds()) }

// exchanger makes one more exchanger of the fleet. It does not wait in real time
// and renews no claims, unless an edit has it otherwise.
func (w *world) exchanger(edits ...func(*Exchanger)) *Exchanger {
	w.t.Helper()
	w.made++
	registry := prometheus.NewPedanticRegistry()
	if w.made == 1 {
		registry = w.metrics
	}
	x, err := New(Deps{
		Name: "exchanger-" + string(rune('0'+w.made%10)), State: w.store, Events: w.events, Keyring: w.ring, Client: w.provider.client,
		Policy: secret.DefaultPolicy(), Apps: w.apps, Now: w.now, Tracer: w.tracer, Registry: registry,
		Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	x.pace = pace{renew: time.Hour, retry: time.Microsecond, patience: time.Hour}
	for _, edit := range edits {
		edit(x)
	}
	return x
}

// using makes an exchanger use another state.
func using(st state.Store) func(*Exchanger) {
	return func(x *Exchanger) {
		x.State, x.secrets, x.vault, x.health.store = st, secret.Store{State: st}, secret.Vault{State: st}, endpoint.Store{State: st}
	}
}

const (
	testOrg      = "1234@AdobeOrg"
	testProperty = "PR00000000000040008000000000000001"
)

// create stores a secret as the api does: to be exchanged at once, and in an
// environment of its own unless an edit takes it out.
func (w *world) create(kind secret.Kind, edits ...func(*secret.Secret)) *secret.Secret {
	w.t.Helper()
	s := &secret.Secret{
		ID: secret.NewID(secret.PrefixSecret), Org: testOrg, Property: testProperty, Kind: kind,
		CredentialGeneration: 1, CreatedAt: w.now(),
	}
	s.Name = s.ID
	hidden := map[string]string{}
	switch canonical := kind.Canonical(); {
	case kind.Interactive():
		s.Credentials.ClientID = s.ID // of the app, for this harness alone
	case canonical == secret.Token:
		hidden["token"] = plantedToken
	case canonical == secret.SimpleHTTP:
		s.Credentials.Username, hidden["password"] = "ada", plantedPassword
	case canonical == secret.OAuth2JWT:
		seconds := int64(tokenOffset / time.Second)
		s.Credentials = secret.Credentials{
			Iss: "issuer", Aud: "audience", TTL: int64(tokenLifetime / time.Second), Alg: "RS256", RefreshOffset: &seconds,
		}
		hidden["private_key"] = signingKeyPEM()
	default:
		seconds := int64(tokenOffset / time.Second)
		s.Credentials = secret.Credentials{ClientID: s.ID, TokenURL: w.provider.url + "/token?secret=" + s.ID, RefreshOffset: &seconds}
		hidden["client_secret"] = plantedSecret
	}
	s.Attach(secret.NewID(secret.PrefixEnvironment), "staging")
	s.Ask(w.now())
	for _, edit := range edits {
		edit(s)
	}
	if _, err := (secret.Store{State: w.store}).Create(context.Background(), &secret.Draft{Secret: s, Credential: w.seal(s, 1, hidden)}); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// aim gives a secret another token endpoint and seals its client secret
// for that, as an update by the api does.
func (w *world) aim(s *secret.Secret, tokenURL string) {
	w.t.Helper()
	w.update(s.ID, func(s *secret.Secret) { s.Credentials.TokenURL = tokenURL })
	s.Credentials.TokenURL = tokenURL
	w.plant(s.ID, w.seal(s, 1, map[string]string{"client_secret": plantedSecret}))
}

func (w *world) seal(s *secret.Secret, generation uint64, hidden map[string]string) *secret.Credential {
	w.t.Helper()
	c := &secret.Credential{Generation: generation, Fields: map[string]secret.SealedField{}}
	for name, value := range hidden {
		sealed, err := w.sealer.Seal(seal.LongLived, seal.Binding{Secret: s.ID, Field: s.Credentials.SealedAs(name), Generation: generation}, seal.NewPlaintext(value))
		if err != nil {
			w.t.Fatal(err)
		}
		c.Fields[name] = secret.SealedField{Generation: generation, Sealed: sealed}
	}
	return c
}

// loose takes a new secret out of its environment.
func loose(s *secret.Secret) { s.Environment, s.Stage, s.Deployed = "", "", "" }

// script makes the provider treat the secret's requests so, one step each.
func (w *world) script(s *secret.Secret, steps ...sandbox.Step) {
	w.t.Helper()
	client := sandbox.Client{ID: s.Credentials.ClientID, Script: steps}
	if known, err := w.provider.Client(client.ID); err == nil {
		client.CodeFlow = known.CodeFlow
	}
	if err := w.provider.Put(client); err != nil {
		w.t.Fatal(err)
	}
}

// secret returns the record, nil when there is none.
func (w *world) secret(id string) *secret.Secret {
	w.t.Helper()
	s, _, err := secret.Store{State: w.store}.Get(context.Background(), id)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) update(id string, change func(*secret.Secret)) {
	w.t.Helper()
	_, _, err := secret.Store{State: w.store}.Update(context.Background(), id, func(s *secret.Secret) error {
		change(s)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// overwrite puts a record in place of another, which nobody but a fault does.
func (w *world) overwrite(key string, v any) {
	w.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	_, rev, err := w.store.Get(context.Background(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Commit(context.Background(), state.Write{Key: key, Value: body, Expect: rev}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) grant(id string) *secret.Grant {
	w.t.Helper()
	g, _, err := secret.Vault{State: w.store}.Grant(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// artifacts returns what there is for the secret, in whatever environment.
func (w *world) artifacts(id string) (found []*secret.Artifact) {
	w.t.Helper()
	for key, value := range w.store.dump(w.t) {
		if !strings.HasPrefix(key, "artifact.") || !strings.HasSuffix(key, "."+id) {
			continue
		}
		a := new(secret.Artifact)
		if err := json.Unmarshal(value, a); err != nil {
			w.t.Fatal(err)
		}
		found = append(found, a)
	}
	return found
}

// deployed is the revision of what is in the secret's environment, 0 when nothing is.
func (w *world) deployed(s *secret.Secret) state.Revision {
	w.t.Helper()
	if s.Environment == "" {
		return 0
	}
	_, rev, err := w.store.Get(context.Background(), state.ArtifactKey(s.Environment, s.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

// value opens an artifact.
func (w *world) value(a *secret.Artifact) string {
	w.t.Helper()
	p, err := seal.NewOpener(w.ring).Open(seal.Binding{Secret: a.Secret, Field: "value", Generation: a.Generation}, a.Sealed)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(p.Reveal())
}

// keys lists what the state holds of the secret.
func (w *world) keys(id string) (keys []string) {
	for key := range w.store.dump(w.t) {
		if strings.Contains(key, id) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// job is what the scheduler orders for the secret now.
func (w *world) job(id string) work.Message {
	w.t.Helper()
	s := w.secret(id)
	if s == nil {
		w.t.Fatalf("secret %s is gone", id)
	}
	due := s.Plan()
	body, err := json.Marshal(events.RefreshDue{Secret: id, Action: string(due.Action), Decision: s.Decision, DueAt: due.At})
	if err != nil {
		w.t.Fatal(err)
	}
	return work.Message{ID: secret.NewUUID(), Type: string(events.TypeRefreshDue), Subject: id, Data: body, Delivery: 1}
}

// run hands a job out until it is done, and then the next as long as something
// is due, as queue and scheduler do.
func (w *world) run(x *Exchanger, m work.Message) {
	w.t.Helper()
	for range 30 {
		err := x.Handle(context.Background(), m)
		if pause, ok := work.Retry(err); ok {
			w.advance(pause)
		}
		if err != nil {
			m.Delivery++
			continue
		}
		s := w.secret(m.Subject)
		if s == nil || !s.Plan().Due(w.now()) {
			return
		}
		m = w.job(m.Subject)
	}
	w.t.Fatalf("secret %s does not come to rest: %s", m.Subject, show(w.secret(m.Subject)))
}

// runDue lets time pass until the secret is due, and runs it.
func (w *world) runDue(x *Exchanger, id string) {
	w.t.Helper()
	due := w.secret(id).Plan()
	if due.Action == secret.Rest {
		w.t.Fatalf("nothing is planned: %s", show(w.secret(id)))
	}
	w.clock.Store(max(w.clock.Load(), due.At.UnixMilli()))
	w.run(x, w.job(id))
}

// wantRequests fails the test unless the provider has had n requests for the
// secret, at most one of them for each decision.
func (w *world) wantRequests(id string, n int) {
	w.t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	total := 0
	for decision, requests := range w.store.requests[id] {
		total += requests
		if requests > 1 {
			w.t.Errorf("%d requests for decision %d of %s", requests, decision, id)
		}
	}
	if total != n {
		w.t.Errorf("%d requests, want %d: %v", total, n, w.store.requests[id])
	}
}

func show(v any) string {
	body, _ := json.MarshalIndent(v, "", "  ")
	return string(body)
}
