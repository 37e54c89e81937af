package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

// BenchmarkRefresh is a refresh from end to end: the whole fleet in this process, on
// its embedded server, starts with b.N secrets that are due, of which each is
// refreshed once. Times count from the first plan to the last announcement, and the
// processor's are those of the provider, too, which answers at once. Most of what it
// says is true of many refreshes: go test -run - -bench Refresh -benchtime 10000x.
func BenchmarkRefresh(b *testing.B) {
	b.ReportAllocs()
	token := strings.Repeat("eyJhbGci", 100)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":86400}`, token)
	}))
	defer provider.Close()
	dir := b.TempDir()
	fillStore(b, dir, provider.URL, token)

	first, done := make(chan struct{}), make(chan struct{})
	var begin sync.Once
	var announced atomic.Int64
	s := &settings{
		target: targetAll, listen: "127.0.0.1:0", opsListen: "127.0.0.1:0", dataDir: dir, logLevel: "info",
		egressAllow: []string{"127.0.0.0/8"}, bootstrap: scenarioToken,
		reached: func(step exchanger.Step) {
			begin.Do(func() { first <- struct{}{} })
			if step == exchanger.StepAnnounce && announced.Add(1) == int64(b.N) {
				close(done)
			}
		},
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, s, io.Discard) }()
	var busy time.Duration
	for waiting := true; waiting; {
		select {
		case <-first:
			b.ResetTimer()
			busy = processorTime(b)
		case <-done:
			waiting = false
		case err := <-ended:
			b.Fatal("the fleet ended: ", err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-busy).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refreshes/s")
	b.StopTimer()
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// processorTime is for how long this process has kept processors busy.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fillStore makes the data directory of a fleet with b.N secrets that are due, as
// they stand after their first exchange.
func fillStore(b *testing.B, dir, provider, token string) {
	b.Helper()
	quiet := slog.New(slog.DiscardHandler)
	server, err := natsd.Start(b.Context(), natsd.Config{StoreDir: filepath.Join(dir, "nats"), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	user, password := server.Credentials()
	to, err := bus.Connect(b.Context(), bus.Config{URL: server.URL(), User: user, Password: password, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	st, err := to.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	ring, _, err := seal.CreateKeyring(filepath.Join(dir, "keyring.json"), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	sealer, err := seal.NewSealer(ring.Keyset())
	if err != nil {
		b.Fatal(err)
	}
	seals := bothSeals{sealer, seal.NewOpener(ring)}
	property, environment, err := fillTree(b.Context(), st)
	if err != nil {
		b.Fatal(err)
	}
	var writers errgroup.Group
	writers.SetLimit(64)
	for i := range b.N {
		writers.Go(func() error {
			return fill(b.Context(), st, seals, asking(i, provider, property, environment), token)
		})
	}
	if err := writers.Wait(); err != nil {
		b.Fatal(err)
	}
	to.Close()
	if err := server.Stop(); err != nil {
		b.Fatal(err)
	}
}

// asking is a secret that asks for its first exchange.
func asking(i int, provider, property, environment string) *secret.Secret {
	now := time.Now().Add(-2 * time.Hour).UTC().Truncate(time.Millisecond)
	admin := secret.Actor{Email: "admin@example.com", DisplayName: "Administrator"}
	s := &secret.Secret{
		ID: secret.NewID(secret.PrefixSecret), Org: api.DefaultOrg, Property: property,
		Name: fmt.Sprintf("secret %07d", i), Kind: secret.OAuth2, CredentialGeneration: 1,
		Credentials: secret.Credentials{ClientID: fmt.Sprint("client ", i), TokenURL: provider},
		CreatedAt:   now, UpdatedAt: now, CreatedBy: admin, UpdatedBy: admin,
	}
	s.Attach(environment, string(api.Production))
	s.Ask(now)
	return s
}

// bothSeals are what an api process seals with, and an exchanger.
type bothSeals struct {
	api       *seal.Sealer
	exchanger *seal.Opener
}

// fill writes the records of a secret after that exchange.
func fill(ctx context.Context, st state.Store, seals bothSeals, s *secret.Secret, token string) error {
	binding := seal.Binding{Secret: s.ID, Field: s.Credentials.SealedAs("client_secret"), Generation: 1}
	client := seal.NewPlaintext([]byte("a-client-secret-of-forty-characters-here"))
	hidden, err := seals.api.Seal(seal.LongLived, binding, client)
	if err != nil {
		return err
	}
	copied, err := seals.exchanger.Seal(binding, client)
	if err != nil {
		return err
	}
	value, err := seals.exchanger.Seal(seal.Binding{Secret: s.ID, Field: "value", Generation: 1}, seal.NewPlaintext([]byte(token)))
	if err != nil {
		return err
	}
	o := &secret.Outcome{
		Decision: s.Decision, Action: secret.Exchange, StartedAt: s.CreatedAt, At: s.CreatedAt,
		Environment: s.Environment, Sealed: value, RefreshAt: s.CreatedAt.Add(time.Hour), ExpiresAt: s.CreatedAt.Add(24 * time.Hour),
	}
	s.Apply(o, s.CreatedAt)
	s.DeployedRevision, err = store(ctx, st, state.ArtifactKey(s.Environment, s.ID), &secret.Artifact{
		Secret: s.ID, Environment: s.Environment, Generation: o.Decision, Sealed: value, ExpiresAt: o.ExpiresAt,
	})
	if err != nil {
		return err
	}
	for key, record := range map[string]any{
		state.CredentialKey(s.ID): credential(hidden),
		state.GrantKey(s.ID):      &secret.Grant{Outcome: o, Credential: credential(copied)},
		state.SecretKey(s.ID):     s,
	} {
		if _, err := store(ctx, st, key, record); err != nil {
			return err
		}
	}
	return nil
}

func credential(clientSecret []byte) *secret.Credential {
	return &secret.Credential{Generation: 1, Fields: map[string]secret.SealedField{"client_secret": {Generation: 1, Sealed: clientSecret}}}
}

// fillTree writes what secrets hang in.
func fillTree(ctx context.Context, st state.Store) (property, environment string, err error) {
	company := secret.NewID(secret.PrefixCompany)
	property, environment = secret.NewID(secret.PrefixProperty), secret.NewID(secret.PrefixEnvironment)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for key, record := range map[string]any{
		state.CompanyKey(company): &api.Company{
			ID: company, Org: api.DefaultOrg, Name: "Bench", Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
		},
		state.PropertyKey(property): &api.Property{
			ID: property, Org: api.DefaultOrg, Company: company, Name: "shop", Platform: api.Edge,
			Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
		},
		state.EnvironmentKey(environment): &api.Environment{
			ID: environment, Org: api.DefaultOrg, Property: property, Name: "production", Stage: api.Production,
			Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
		},
	} {
		if _, err := store(ctx, st, key, record); err != nil {
			return "", "", err
		}
	}
	return property, environment, nil
}

func store(ctx context.Context, st state.Store, key string, record any) (state.Revision, error) {
	body, err := json.Marshal(record)
	if err != nil {
		return 0, err
	}
	return st.Commit(ctx, state.Write{Key: key, Value: body})
}
