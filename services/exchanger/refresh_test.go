package exchanger

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// takes is how long the provider of TestFirstExchange needs for an answer.
const takes = 3 * time.Second

// Every kind, from the job to the event.
func TestFirstExchange(t *testing.T) {
	t.Parallel()
	for _, kind := range secret.Kinds() {
		if kind.Interactive() {
			continue // consent_test.go
		}
		if kind == secret.OAuth2JWT {
			continue // see jwt_test.go
		}
		for _, attached := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s attached=%t", kind, attached), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				slowly := func(id string) { w.store.requested(id); w.advance(takes) }
				w.provider.arrival.Store(&slowly)
				var edits []func(*secret.Secret)
				if !attached {
					edits = append(edits, loose)
				}
				created := w.create(kind, edits...)
				asked := w.now()
				w.advance(40 * time.Millisecond)
				began := w.now()
				w.run(w.exchanger(), w.job(created.ID))

				want := *created
				want.Status, want.Decision, want.Generation, want.UpdatedAt = secret.Succeeded, 2, 1, w.now()
				want.NextAttemptAt = time.Time{}
				if kind.Expires() {
					// Counted from before the request.
					want.ExpiresAt, want.RefreshAt = began.Add(tokenLifetime), began.Add(tokenLifetime-tokenOffset)
				}
				if attached {
					want.ActivatedAt, want.NextAttemptAt = w.now(), want.RefreshAt
				}
				want.DeployedRevision = w.deployed(&want)
				if diff := cmp.Diff(&want, w.secret(created.ID)); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
				w.checkValue(&want)
				w.checkFirstEvent(&want)
				w.checkObserved(kind, began.Sub(asked))
				if kind.Expires() {
					w.wantRequests(created.ID, 1)
				}
			})
		}
	}
}

// checkValue fails the test unless the current value is in the secret's
// environment, or nowhere when it has none.
func (w *world) checkValue(s *secret.Secret) {
	w.t.Helper()
	g := w.grant(s.ID)
	if g.Claim != nil || !g.Answers(s.Generation) {
		w.t.Errorf("grant is %s", show(g))
	}
	found := w.artifacts(s.ID)
	if s.Environment == "" {
		if len(found) != 0 || g.Outcome.Sealed != nil {
			w.t.Errorf("the value was kept: %d artifacts, %d bytes in the grant", len(found), len(g.Outcome.Sealed))
		}
		return
	}
	if len(found) != 1 {
		w.t.Fatalf("%d artifacts, want 1", len(found))
	}
	a := found[0]
	if a.Secret != s.ID || a.Environment != s.Environment || a.Generation != s.Generation || !a.ExpiresAt.Equal(s.ExpiresAt) {
		w.t.Errorf("artifact is %s", show(a))
	}
	switch value := w.value(a); s.Kind.Canonical() {
	case secret.Token:
		if value != plantedToken {
			w.t.Errorf("value is %q", value)
		}
	case secret.SimpleHTTP:
		if decoded, err := base64.StdEncoding.DecodeString(value); err != nil || string(decoded) != "ada:"+plantedPassword {
			w.t.Errorf("value is %q", value)
		}
	default:
		if known := w.provider.Introspect(value); !known.Active || known.ClientID != s.Credentials.ClientID {
			w.t.Errorf("value is %q: %+v", value, known)
		}
	}
	if got, _, err := seal.Inspect(a.Sealed); got != seal.LongLived || err != nil {
		w.t.Errorf("sealed as %v: %v", got, err)
	}
	for _, other := range []seal.Binding{
		{Secret: s.ID, Field: "value", Generation: a.Generation + 1},
		{Secret: secret.NewID(secret.PrefixSecret), Field: "value", Generation: a.Generation},
		{Secret: s.ID, Field: "token", Generation: a.Generation},
	} {
		if _, err := seal.NewOpener(w.ring).Open(other, a.Sealed); err == nil {
			w.t.Errorf("the value opens as %+v", other)
		}
	}
}

func (w *world) checkFirstEvent(s *secret.Secret) {
	w.t.Helper()
	want := []events.Event{{
		ID: s.ID + ".1.succeeded", Source: Source, Org: testOrg, Time: w.now(),
		Data: events.ExchangeSucceeded{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind), Action: "exchange",
			Generation: 1, ExpiresAt: s.ExpiresAt, RefreshAt: s.RefreshAt,
		},
	}}
	if diff := cmp.Diff(want, w.events.about(s.ID)); diff != "" {
		w.t.Errorf("events (-want +got):\n%s", diff)
	}
}

// checkObserved looks at spans and metrics of one first exchange.
func (w *world) checkObserved(kind secret.Kind, late time.Duration) {
	w.t.Helper()
	outer, inner := w.span("refresh"), w.span("exchange")
	if inner.Parent().SpanID() != outer.SpanContext().SpanID() || w.events.trace[0].SpanID() != outer.SpanContext().SpanID() {
		w.t.Error("the spans of job, exchange and event do not hang together")
	}
	if outer.SpanKind() != trace.SpanKindConsumer || inner.SpanKind() != trace.SpanKindClient {
		w.t.Errorf("span kinds are %v and %v", outer.SpanKind(), inner.SpanKind())
	}
	attributes := attribute.NewSet(outer.Attributes()...)
	if v, _ := attributes.Value("rekindle.result"); v.AsString() != "done" {
		w.t.Errorf("attributes are %v", outer.Attributes())
	}
	canonical := string(kind.Canonical())
	for name, want := range map[string]float64{
		`rekindle_exchanges_total{action="exchange",kind="` + canonical + `",outcome="succeeded"}`: 1,
		`rekindle_jobs_total{result="done"}`:                                          1,
		`rekindle_refresh_step_seconds_count{step="plan"}`:                            1,
		`rekindle_refresh_step_seconds_count{step="announce"}`:                        1,
		`rekindle_refresh_lateness_seconds_count{action="exchange"}`:                  1,
		`rekindle_refresh_lateness_seconds_sum{action="exchange"}`:                    late.Seconds(),
		`rekindle_exchange_duration_seconds_count{kind="` + canonical + `"}`:          1,
		`rekindle_exchange_duration_seconds_bucket{kind="` + canonical + `",le="10"}`: 1,
		`rekindle_refresh_lateness_seconds_bucket{action="exchange",le="0.05"}`:       1,
		`rekindle_refresh_lateness_seconds_bucket{action="exchange",le="0.02"}`:       0,
	} {
		if got, ok := w.metric(name); !ok || got != want {
			w.t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if problems, err := testutil.GatherAndLint(w.metrics); err != nil || len(problems) != 0 {
		w.t.Errorf("metrics: %v %v", problems, err)
	}
}

// counting counts the reads of each kind of record.
type counting struct {
	state.Store
	reads map[string]int
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	kind, _ := state.Split(key)
	c.reads[kind]++
	return c.Store.Get(ctx, key)
}

// What was read to plan a refresh is not read again to settle it, and the value that is
// to be replaced not at all: a fleet pays for
// every read a thousand times a second.
func TestReadsOfARefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.run(w.exchanger(), w.job(s.ID))
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	store := &counting{w.store, map[string]int{}}
	w.run(w.exchanger(using(store)), w.job(s.ID))
	want := map[string]int{"grant": 1, "secret": 1}
	if diff := cmp.Diff(want, store.reads); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	w.wantRequests(s.ID, 2)
}

func (w *world) span(name string) sdktrace.ReadOnlySpan {
	w.t.Helper()
	for _, s := range w.spans.Ended() {
		if s.Name() == name {
			return s
		}
	}
	w.t.Fatalf("no span %s", name)
	return nil
}

// metric is a value of the first exchanger's metrics, as a scrape would show it.
func (w *world) metric(line string) (float64, bool) {
	w.t.Helper()
	for text := range strings.SplitSeq(scrape(w.t, w.metrics), "\n") {
		if value, ok := strings.CutPrefix(text, line+" "); ok {
			var v float64
			_, err := fmt.Sscan(value, &v)
			return v, err == nil
		}
	}
	return 0, false
}

// A refresh replaces the value, and no run is ever the last.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	first := w.value(w.artifacts(s.ID)[0])
	for generation := uint64(2); generation < 5; generation++ {
		w.runDue(x, s.ID)
		got := w.secret(s.ID)
		if got.Status != secret.Succeeded || got.RefreshStatus != secret.Succeeded || got.Generation != generation ||
			!got.ActivatedAt.Equal(w.now()) || !got.RefreshAt.Equal(w.now().Add(tokenLifetime-tokenOffset)) {
			t.Fatalf("after refresh %d: %s", generation, show(got))
		}
		w.checkValue(got)
		if now := w.value(w.artifacts(s.ID)[0]); now == first {
			t.Error("the value is the old one")
		}
		event := w.events.about(s.ID)[generation-1].Data.(events.ExchangeSucceeded)
		if event.Action != "refresh" || event.Generation != generation {
			t.Errorf("event is %+v", event)
		}
	}
	w.wantRequests(s.ID, 4)
}

// Every reason that a secret or a provider can give reaches the record, the
// event and the metrics.
func TestFailure(t *testing.T) {
	t.Parallel()
	hour := sandbox.Duration(time.Hour)
	step := func(s sandbox.Step) func(*world, *secret.Secret) {
		return func(w *world, created *secret.Secret) { w.script(created, s) }
	}
	tests := []struct {
		name   string
		kind   secret.Kind
		spoil  func(*world, *secret.Secret)
		reason events.Reason
		detail string
	}{
		{"refused", secret.OAuth2, step(sandbox.Step{Error: "invalid_client"}), events.ReasonRejected, "invalid_client"},
		{"throttled", secret.OAuth2, step(sandbox.Step{Status: 429}), events.ReasonThrottled, "429"},
		{"server error", secret.OAuth2, step(sandbox.Step{Status: 503}), events.ReasonProviderError, "503"},
		{"page", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultHTML}), events.ReasonMalformed, "page"},
		{"200 with an error", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultOKWithError}), events.ReasonRejected, "invalid_grant"},
		{"truncated", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultTruncated}), events.ReasonMalformed, "JSON"},
		{"huge", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultHugeBody}), events.ReasonTooLarge, "65536"},
		{"redirect", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultRedirect}), events.ReasonRedirected, "307"},
		{"reset", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultReset}), events.ReasonDisconnected, "closed"},
		{"answer lost", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultDropAfterCommit}), events.ReasonDisconnected, "closed"},
		{"no answer", secret.OAuth2, step(sandbox.Step{Fault: sandbox.FaultNeverAnswer}), events.ReasonTimeout, "within"},
		{"no lifetime", secret.OAuth2, step(sandbox.Step{Omit: []string{"expires_in"}}), events.ReasonNoLifetime, "expires_in"},
		{
			"short-lived", secret.OAuth2, step(sandbox.Step{Lifetime: &hour}), events.ReasonWindow,
			"the token's lifetime (expires_in) is 3600 s, but at least 28800 s is required",
		},
		{
			"refreshed too often", secret.OAuth2ClientCredentials, func(w *world, s *secret.Secret) {
				w.update(s.ID, func(s *secret.Secret) { *s.Credentials.RefreshOffset = 28800 })
			}, events.ReasonWindow,
			"the time between refreshes (expires_in − refresh_offset) is 7200 s, but at least 14400 s is required",
		},
		{"private address", secret.OAuth2, func(w *world, s *secret.Secret) {
			w.aim(s, "https://10.0.0.1/token")
		}, events.ReasonAddressRefused, "private"},
		{"nobody there", secret.OAuth2, func(w *world, s *secret.Secret) {
			w.aim(s, w.nobody())
		}, events.ReasonUnreachable, "refused the connection"},
		{"sealed for another fleet", secret.OAuth2, func(w *world, _ *secret.Secret) {
			w.useRing(newRing(w.t, w.now()))
		}, events.ReasonCannotOpen, "keyring"},
		{"sealed for another secret", secret.SimpleHTTP, func(w *world, s *secret.Secret) {
			w.plant(s.ID, w.seal(&secret.Secret{ID: secret.NewID(secret.PrefixSecret)}, 1, map[string]string{"password": plantedPassword}))
		}, events.ReasonCannotOpen, "the stored password could not be opened"},
		{"sealed for another token endpoint", secret.OAuth2, func(w *world, s *secret.Secret) {
			w.update(s.ID, func(s *secret.Secret) { s.Credentials.TokenURL = w.nobody() })
		}, events.ReasonCannotOpen, "the stored client_secret could not be opened"},
		{"hidden field missing", secret.Token, func(w *world, s *secret.Secret) {
			w.plant(s.ID, w.seal(s, 1, nil))
		}, events.ReasonCannotOpen, "have no token"},
		{"unknown kind", "quantum", nil, events.ReasonUnsupported, "upgrade"},
		{"value too long to be sealed", secret.SimpleHTTP, func(w *world, s *secret.Secret) {
			w.plant(s.ID, w.seal(s, 1, map[string]string{"password": strings.Repeat("x", seal.MaxPlaintext)}))
		}, events.ReasonUnsupported, "fault of its own"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := w.create(tt.kind)
			if tt.spoil != nil {
				tt.spoil(w, s)
			}
			x := w.exchanger(impatient(t))
			w.run(x, w.job(s.ID))

			got := w.secret(s.ID)
			f := got.StatusDetails
			if got.Status != secret.Failed || f == nil || got.RefreshStatus != "" || got.Attempts != 0 || got.Plan().Action != secret.Rest {
				t.Fatalf("record: %s", show(got))
			}
			if f.Reason != string(tt.reason) || !strings.Contains(f.Detail, tt.detail) {
				t.Errorf("failed for %s: %s, want %s: …%s…", f.Reason, f.Detail, tt.reason, tt.detail)
			}
			if f.RequestID != w.span("exchange").SpanContext().TraceID().String() || len(f.ID) != 36 || !f.At.Equal(w.now()) {
				t.Errorf("details: %s", show(f))
			}
			if !got.ExpiresAt.IsZero() || !got.ActivatedAt.IsZero() || len(w.artifacts(s.ID)) != 0 || w.grant(s.ID).Outcome.Sealed != nil {
				t.Errorf("something was kept: %s", show(got))
			}
			want := []events.Event{{
				ID: fmt.Sprintf("%s.%d.failed", s.ID, got.Decision-1), Source: Source, Org: testOrg, Time: f.At,
				Data: events.ExchangeFailed{
					Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind), Action: "exchange",
					Reason: tt.reason, Verdict: tt.reason.Verdict(), Detail: f.Detail,
				},
			}}
			if diff := cmp.Diff(want, w.events.about(s.ID)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			line := fmt.Sprintf(`rekindle_exchanges_total{action="exchange",kind=%q,outcome=%q}`, tt.kind.Canonical(), tt.reason)
			if n, _ := w.metric(line); n != 1 {
				t.Errorf("%s is %v, want 1", line, n)
			}
			if strings.Contains(w.logs.String(), plantedSecret) {
				t.Error("the client secret is in the log")
			}
		})
	}
}

// nobody is the URL of a port where nobody listens.
func (w *world) nobody() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String() + "/token"
}

// impatient makes an exchanger give up on a provider that does not answer.
func impatient(t testing.TB) func(*Exchanger) {
	return func(x *Exchanger) {
		x.Client = NewClient(EgressConfig{
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 500 * time.Millisecond,
		})
		t.Cleanup(x.Client.Close)
	}
}

// plant replaces the credential of a secret.
func (w *world) plant(id string, c *secret.Credential) {
	w.t.Helper()
	w.overwrite("credential."+id, c)
}

// A panic while a value is got is a failure, and what was thrown is not shown.
func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.run(w.exchanger(func(x *Exchanger) { x.Client = nil }), w.job(s.ID))
	got := w.secret(s.ID)
	if got.Status != secret.Failed || got.StatusDetails.Reason != string(events.ReasonUnsupported) {
		t.Errorf("record: %s", show(got))
	}
	if log := w.logs.String(); !strings.Contains(log, "panic with a runtime.") || !strings.Contains(log, "goroutine") {
		t.Errorf("log: %s", log)
	}
}

// The four attempts of contract A12, by the clock.
func TestAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.script(s, sandbox.Step{Times: 1}, sandbox.Step{Times: 3, Status: 500}, sandbox.Step{Times: 1}, sandbox.Step{Status: 500})
	w.run(x, w.job(s.ID))
	first := w.secret(s.ID)

	before := []time.Duration{4 * time.Hour, 3*time.Hour + 20*time.Minute, 2*time.Hour + 40*time.Minute, 2 * time.Hour}
	attempt := func(n int, of *secret.Secret) *secret.Secret {
		t.Helper()
		w.runDue(x, s.ID)
		if left := of.ExpiresAt.Sub(w.now()); left != before[n-1] {
			t.Errorf("attempt %d was %v before expiry, want %v", n, left, before[n-1])
		}
		return w.secret(s.ID)
	}
	failed := func(got *secret.Secret, n int, status secret.Status) {
		t.Helper()
		f := got.RefreshStatusDetails
		if got.Status != secret.Succeeded || got.RefreshStatus != status || got.Attempts != n || f == nil ||
			f.Reason != string(events.ReasonProviderError) || got.StatusDetails != nil {
			t.Fatalf("after attempt %d: %s", n, show(got))
		}
		list := w.events.about(s.ID)
		want := events.ExchangeFailed{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: "oauth2", Action: "refresh",
			Reason: events.ReasonProviderError, Verdict: events.Retry, Detail: f.Detail, Attempts: n,
			NextAttemptAt: got.NextAttemptAt, WorksUntil: got.ExpiresAt,
		}
		if diff := cmp.Diff(events.Data(want), list[len(list)-1].Data); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		w.checkKept(got)
	}
	for n := 1; n <= 3; n++ {
		failed(attempt(n, first), n, secret.Pending)
	}
	second := attempt(4, first)
	if second.RefreshStatus != secret.Succeeded || second.Attempts != 0 || second.RefreshStatusDetails != nil || second.Generation != 5 {
		t.Fatalf("after the fourth attempt: %s", show(second))
	}
	w.checkValue(second)
	for n := 1; n <= 3; n++ {
		failed(attempt(n, second), n, secret.Pending)
	}
	last := attempt(4, second)
	failed(last, 4, secret.Failed)
	if last.Plan().Action != secret.Rest {
		t.Errorf("after the last attempt %+v is planned", last.Plan())
	}
	w.wantRequests(s.ID, 9)
}

// checkKept fails the test unless the value in use is where it was.
func (w *world) checkKept(s *secret.Secret) {
	w.t.Helper()
	found := w.artifacts(s.ID)
	if len(found) != 1 || found[0].Generation != s.Generation || !w.provider.Introspect(w.value(found[0])).Active {
		w.t.Errorf("the value in use is gone: %s", show(found))
	}
}

// Jobs that find nothing to do, or are no jobs at all.
func TestJobsForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	good := w.job(s.ID)
	future := w.create(secret.OAuth2, func(s *secret.Secret) { s.NextAttemptAt = s.NextAttemptAt.Add(maxSkew) })
	distant := w.create(secret.OAuth2, func(s *secret.Secret) { s.NextAttemptAt = s.NextAttemptAt.Add(maxSkew + time.Millisecond) })
	resting := w.create(secret.OAuth2, func(s *secret.Secret) { s.Status, s.NextAttemptAt = secret.Failed, time.Time{} })
	gone := work.Message{Type: good.Type, Data: []byte(`{"secret":"` + secret.NewID(secret.PrefixSecret) + `","action":"exchange","decision":1}`), Delivery: 2}
	changed := func(change func(*work.Message)) work.Message {
		m := good
		change(&m)
		return m
	}
	for _, tt := range []struct {
		name   string
		m      work.Message
		result string
		pause  time.Duration
		reject bool
	}{
		{"ahead of this clock", w.job(future.ID), jobEarly, maxSkew, false},
		{"far ahead of this clock", w.job(distant.ID), jobStale, 0, false},
		{"nothing planned", w.job(resting.ID), jobStale, 0, false},
		{"secret is gone", gone, jobStale, 0, false},
		{"of another type", changed(func(m *work.Message) { m.Type = "SecretCreated" }), jobError, 0, true},
		{"not JSON", changed(func(m *work.Message) { m.Data = []byte("{") }), jobError, 0, true},
		{"id of no secret", changed(func(m *work.Message) { m.Data = []byte(`{"secret":"SE.>"}`) }), jobError, 0, true},
	} {
		line := fmt.Sprintf("rekindle_jobs_total{result=%q}", tt.result)
		before, _ := w.metric(line)
		err := x.Handle(t.Context(), tt.m)
		if after, _ := w.metric(line); after != before+1 {
			t.Errorf("%s: not counted as %s", tt.name, tt.result)
		}
		pause, _ := work.Retry(err)
		if (err == nil) != (tt.pause == 0 && !tt.reject) || pause != tt.pause || work.Rejected(err) != tt.reject {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if n := len(w.provider.AllRequests()); n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
}

// An exchanger whose record and credentials do not belong together reads again.
func TestCredentialsOfAnotherGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.plant(s.ID, w.seal(s, 2, map[string]string{"client_secret": plantedSecret}))
	job := w.job(s.ID)
	if err := x.Handle(t.Context(), job); err == nil || work.Rejected(err) {
		t.Errorf("error is %v", err)
	}
	if g := w.grant(s.ID); g.Claim != nil {
		t.Errorf("grant is %s", show(g))
	}
	w.update(s.ID, func(s *secret.Secret) { s.CredentialGeneration = 2 })
	w.run(x, job)
	if got := w.secret(s.ID); got.Status != secret.Succeeded {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 1)
}

// Without a valid trace in the job there still is a request id.
func TestRequestIDWithoutTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.exchanger().failure(context.Background(), failed(events.ReasonTimeout, "late"), w.now())
	if len(f.RequestID) != 32 || strings.Trim(f.RequestID, "0123456789abcdef") != "" {
		t.Errorf("request id is %q", f.RequestID)
	}
}

// scrape is what Prometheus would see.
func scrape(t rapid.TB, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}
