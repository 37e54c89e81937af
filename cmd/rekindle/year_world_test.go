package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/callback"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
	"github.com/rekindle-dev/rekindle/services/exchanger"
	"github.com/rekindle-dev/rekindle/services/sandbox"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// Where things are on the network of a bubble. These addresses are for
// documentation (RFC 5737): nothing of the machine's own network has them.
const (
	apiURL      = "http://192.0.2.1"
	providerURL = "http://192.0.2.2"
	issuerURL   = "http://192.0.2.3"
)

const (
	bubbleToken  = "bubble-bearer-token-0123456789"
	bubbleSecret = "planted-app-secret-41c7"
)

// bubble is a whole fleet inside a bubble of testing/synctest, where time passes
// only while everybody waits. Its parts are those of the program; what cannot be
// in a bubble is played: NATS by memory, and the network by pipes.
type bubble struct {
	t        *testing.T
	net      *pipes
	state    *statetest.Store
	opener   *seal.Opener
	events   *chronicle
	gallery  *gallery
	log      *complaints
	provider *sandbox.Server
	issuer   *issuer
	lane     *memoryLane
	browser  *http.Client
	property string
	ends     []func() // in reverse
}

// newBubble starts a fleet with these apps. The test ends it.
func newBubble(t *testing.T, apps provider.Apps) *bubble {
	t.Helper()
	b := &bubble{
		t: t, net: &pipes{at: map[string]*pipe{}}, state: statetest.New(),
		events: &chronicle{t: t, seen: map[string]bool{}}, log: &complaints{},
		provider: sandbox.New(sandbox.Config{OpenClients: true, LedgerSize: 1 << 16}),
	}
	transport := &http.Transport{DialContext: b.net.dial, DisableKeepAlives: true}
	b.browser = &http.Client{Transport: transport}
	b.gallery = newGallery()
	b.issuer = newIssuer(t)

	b.serve(providerURL, &http.Server{Handler: b.provider.Handler()})
	b.serve(issuerURL, &http.Server{Handler: b.issuer})
	b.startFleet(apps)
	b.gallery.follow(b)
	return b
}

// end stops the fleet; what it complained about fails the test.
func (b *bubble) end() {
	b.t.Helper()
	for _, end := range slices.Backward(b.ends) {
		end()
	}
	if said := b.log.String(); said != "" {
		b.t.Errorf("the fleet complained:\n%s", said)
	}
}

// run runs a part of the fleet until the bubble ends, and waits until it is
// ready.
func (b *bubble) run(name string, part func(ctx context.Context, ready func()) error) {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- part(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		b.t.Fatalf("%s ended before it was ready: %v", name, err)
	}
	b.ends = append(b.ends, func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			b.t.Errorf("%s ended: %v", name, err)
		}
	})
}

func (b *bubble) serve(at string, server *http.Server) {
	b.t.Helper()
	ln := b.net.listen(at)
	b.run(at, func(ctx context.Context, ready func()) error { return serveHTTP(ctx, ln, server, ready) })
}

func (b *bubble) startFleet(apps provider.Apps) {
	b.t.Helper()
	ring, err := seal.NewKeyring(time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	b.opener = seal.NewOpener(ring)
	b.lane = newMemoryLane(b.t)
	lane, registry := b.lane, prometheus.NewPedanticRegistry()
	logger, tracer := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelError})), noop.NewTracerProvider()

	egress := exchanger.NewClient(exchanger.EgressConfig{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Dial: b.net.dial})
	b.ends = append(b.ends, egress.Close)
	known := make(map[string]exchanger.App, len(apps))
	for name, app := range apps {
		known[name] = exchanger.App{Provider: app.Provider, ClientID: app.Registration.ClientID, Secret: seal.NewPlaintext(bubbleSecret)}
	}
	x, err := exchanger.New(exchanger.Deps{
		Name: "exchanger", State: b.state, Jobs: lane, Events: b.events, Keyring: ring, Client: egress,
		Policy: secret.DefaultPolicy(), Apps: known, Logger: logger, Tracer: tracer.Tracer(""), Registry: registry,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.run("exchanger", func(ctx context.Context, ready func()) error { return x.Run(ctx, context.Background(), ready) })
	for range 2 { // as there are exchangers
		r := exchanger.NewRegistrations(exchanger.RegistrationsDeps{Apps: apps, State: b.state, Events: b.events, Logger: logger, Registry: prometheus.NewRegistry()})
		b.run("registrations", func(ctx context.Context, ready func()) error { ready(); return r.Run(ctx) })
	}
	b.run("scheduler", scheduler.New(scheduler.Deps{State: b.state, Jobs: lane, Members: alone{}, Logger: logger, Registerer: registry}).Run)

	service := api.New(api.Config{Apps: apps}, api.Deps{State: b.state, Events: b.events, Logger: logger, Metrics: registry})
	b.run("projection", service.Run)
	<-service.Sealing()
	mux := http.NewServeMux()
	mux.Handle(callback.Path, callback.New(callback.Deps{
		Service: service, PublicURL: apiURL, Logger: logger, Metrics: registry, Tracer: tracer,
	}))
	mux.Handle("/", reactor.New(reactor.Deps{
		Service: service, Gate: auth.NewGate(auth.NewBootstrap(bubbleToken, auth.Administrator(api.DefaultOrg))),
		PublicURL: apiURL, Logger: logger, Metrics: registry, Tracer: tracer,
	}))
	b.serve(apiURL, reactor.NewServer(mux, logger))
}

// until lets time pass, and everything happen that is to happen by then.
func (b *bubble) until(at time.Time) {
	time.Sleep(time.Until(at))
	synctest.Wait()
}

// call asks the API as clients do, and decodes the resource it answers with.
func (b *bubble) call(method, path, body string, out any) {
	b.t.Helper()
	req, err := http.NewRequest(method, apiURL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bubbleToken)
	req.Header.Set("Content-Type", "application/vnd.api+json")
	status, answer := b.fetch(req)
	if status/100 != 2 {
		b.t.Fatalf("%s %s: %d\n%s", method, path, status, answer)
	}
	doc := struct {
		Data any `json:"data"`
	}{out}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		b.t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
	}
}

func (b *bubble) fetch(req *http.Request) (status int, body []byte) {
	b.t.Helper()
	resp, err := b.browser.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, body
}

// home makes a property and in it as many environments.
func (b *bubble) home(environments int) (made []string) {
	b.t.Helper()
	var companies []client.Company
	b.call("GET", "/companies", "", &companies)
	var property client.Property
	b.call("POST", "/companies/"+companies[0].ID.ID+"/properties", `{"data":{"type":"properties","attributes":{"name":"web","platform":"edge"}}}`, &property)
	b.property = property.ID.ID
	for i := range environments {
		var e client.Environment
		b.call("POST", "/properties/"+b.property+"/environments", fmt.Sprintf(`{"data":{"type":"environments","attributes":{"name":"dev %d"}}}`, i), &e)
		made = append(made, e.ID.ID)
	}
	return made
}

func (b *bubble) create(name, kind, credentials, environment string) client.Secret {
	b.t.Helper()
	var made client.Secret
	b.call("POST", "/properties/"+b.property+"/secrets", fmt.Sprintf(`{"data":{"type":"secrets",
		"attributes":{"name":%q,"type_of":%q,"credentials":%s},
		"relationships":{"environment":{"data":{"id":%q,"type":"environments"}}}}}`, name, kind, credentials, environment), &made)
	return made
}

func (b *bubble) act(s client.Secret, action client.Action) client.Secret {
	b.t.Helper()
	var changed client.Secret
	b.call("PATCH", "/secrets/"+s.ID.ID, fmt.Sprintf(`{"data":{"id":%q,"type":"secrets","attributes":{"type_of":%q},"meta":{"action":%q}}}`,
		s.ID.ID, s.Attributes.TypeOf, action), &changed)
	return changed
}

func (b *bubble) show(id string) client.Secret {
	b.t.Helper()
	var s client.Secret
	b.call("GET", "/secrets/"+id, "", &s)
	return s
}

// consent does what a person does with an authorization URL: it goes there and
// wherever it is sent.
func (b *bubble) consent(s client.Secret) {
	b.t.Helper()
	req, err := http.NewRequest("GET", s.Meta.AuthorizationURL, nil)
	if err != nil || s.Meta.AuthorizationURL == "" {
		b.t.Fatalf("%s has no authorization URL: %v", s.Attributes.Name, err)
	}
	if status, page := b.fetch(req); status != http.StatusOK {
		b.t.Fatalf("the consent to %s ended on a page with status %d:\n%s", s.Attributes.Name, status, page)
	}
	if got := b.show(s.ID.ID); got.Attributes.Status != "succeeded" {
		b.t.Fatalf("after the consent %s is %s: %s", s.Attributes.Name, got.Attributes.Status, got.Meta.StatusDetails)
	}
}

// value opens what a workload would find in the environment now.
func (b *bubble) value(environment, id string) string {
	b.t.Helper()
	body, _, err := b.state.Get(b.t.Context(), state.ArtifactKey(environment, id))
	if err != nil {
		b.t.Fatal(err)
	}
	var a secret.Artifact
	if err := json.Unmarshal(body, &a); err != nil {
		b.t.Fatal(err)
	}
	p, err := b.opener.Open(seal.Binding{Secret: id, Field: "value", Generation: a.Generation}, a.Sealed)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(p.Reveal())
}

// pipes is a network in memory.
type pipes struct {
	mu sync.Mutex
	at map[string]*pipe
}

// listen opens the port of an http URL.
func (n *pipes) listen(at string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, err := url.Parse(at)
	if err != nil {
		panic(err)
	}
	p := &pipe{addr: u.Host + ":80", conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	n.at[p.addr] = p
	return p
}

func (n *pipes) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	p := n.at[address]
	n.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("nobody listens at %s", address)
	}
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipe is a listener.
type pipe struct {
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// The methods of net.Listener.

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { p.close(); return nil }
func (p *pipe) Addr() net.Addr { return pipeAddr(p.addr) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// memoryLane is the jobs in memory, one for each secret. In a fleet where nothing goes
// wrong each is done at its first delivery.
type memoryLane struct {
	t     *testing.T
	queue chan events.Event
	// taken is full while somebody takes a job, or nobody may.
	taken chan struct{}

	mu   sync.Mutex
	held map[string]bool
}

func newMemoryLane(t *testing.T) *memoryLane {
	return &memoryLane{t: t, queue: make(chan events.Event, 64), taken: make(chan struct{}, 1), held: map[string]bool{}}
}

// stop has nobody take jobs, as when all exchangers are down, until goOn.
func (l *memoryLane) stop() { l.taken <- struct{}{} }
func (l *memoryLane) goOn() { <-l.taken }

// Offer implements scheduler.Jobs.
func (l *memoryLane) Offer(_ context.Context, e events.Event) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[e.Data.About()] {
		return false, nil
	}
	l.held[e.Data.About()] = true
	l.queue <- e
	return true, nil
}

// Work implements exchanger.Jobs.
func (l *memoryLane) Work(ctx, hard context.Context, _ int, handle, _ work.Handler) error {
	var working sync.WaitGroup
	defer working.Wait()
	for {
		select {
		case e := <-l.queue:
			l.taken <- struct{}{}
			<-l.taken
			working.Go(func() { l.do(hard, e, handle) })
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *memoryLane) do(ctx context.Context, e events.Event, handle work.Handler) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, e.Data.About())
	}()
	_, body, err := events.Encode(e)
	if err == nil {
		err = handle(ctx, work.Message{ID: e.ID, Type: string(e.Data.Type()), Subject: e.Data.About(), Data: body, Delivery: 1})
	}
	if _, again := work.Retry(err); err != nil && !again { // one that comes again is offered again
		l.t.Errorf("%v: a job was not done: %v", time.Now().UTC(), err)
	}
}

// alone has nobody to share with.
type alone struct{}

// Join implements scheduler.Members.
func (alone) Join(ctx context.Context, _ string, _ <-chan struct{}, tell func(string, []string)) error {
	tell("alone", []string{"alone"})
	<-ctx.Done()
	return ctx.Err()
}

// chronicle is the event log.
type chronicle struct {
	t    *testing.T
	mu   sync.Mutex
	seen map[string]bool
	list []events.Event
}

// Publish stores an event, once. That it is said at the time it bears is what
// makes its time worth looking at.
func (c *chronicle) Publish(_ context.Context, e events.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, _, err := events.Encode(e); err != nil {
		c.t.Errorf("an event that cannot be sent: %v", err)
	}
	if now := time.Now(); now.Sub(e.Time) > time.Millisecond || e.Time.After(now) {
		c.t.Errorf("%s of %v was published at %v", e.Data.Type(), e.Time, now.UTC())
	}
	if !c.seen[e.ID] {
		c.list = append(c.list, e)
	}
	c.seen[e.ID] = true
	return nil
}

// Forward implements api.Publisher.
func (c *chronicle) Forward(ctx context.Context, h events.Header, body []byte) error {
	e, err := events.Decode(h, body)
	if err != nil {
		c.t.Errorf("an event that cannot be read: %v", err)
		return err
	}
	return c.Publish(ctx, e)
}

// about returns what was said of a type about a secret or a provider.
func (c *chronicle) about(id string, of events.Type) (found []events.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.list {
		if e.Data.About() == id && e.Data.Type() == of {
			found = append(found, e)
		}
	}
	return found
}

// gallery keeps when each value was put into its environment.
type gallery struct {
	mu   sync.Mutex
	hung map[string][]hanging // by secret
}

// hanging is one value: since when it was there, and how long it is good.
type hanging struct{ at, until time.Time }

func newGallery() *gallery { return &gallery{hung: map[string][]hanging{}} }

func (g *gallery) follow(b *bubble) {
	b.run("gallery", func(ctx context.Context, ready func()) error {
		return b.state.Follow(ctx, []string{state.ArtifactKey("*", "*")}, func(c state.Change) {
			var a secret.Artifact
			if c.Value == nil || json.Unmarshal(c.Value, &a) != nil {
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.hung[a.Secret] = append(g.hung[a.Secret], hanging{time.Now().UTC(), a.ExpiresAt})
		}, ready)
	})
}

// of returns the values of a secret, oldest first.
func (g *gallery) of(id string) []hanging {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.hung[id])
}

// complaints is what was logged as an error.
type complaints struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}
