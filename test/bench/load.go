package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
)

// store is the NATS server of a fleet that is not up yet, or that has many
// processes.
type store struct {
	server *natsd.Server
	bus    *bus.Bus // it has declared the streams
	nc     *nats.Conn
	js     jetstream.JetStream
}

// openStore starts the server on the data that the embedded one of a fleet will
// find, or has left.
func openStore(ctx context.Context, dir string) (*store, error) {
	quiet := slog.New(slog.DiscardHandler)
	server, err := natsd.Start(ctx, natsd.Config{StoreDir: filepath.Join(dir, "nats"), Logger: quiet})
	if err != nil {
		return nil, err
	}
	s := &store{server: server}
	user, password := server.Credentials()
	s.bus, err = bus.Connect(ctx, bus.Config{URL: server.URL(), User: user, Password: password, Logger: quiet})
	if err != nil {
		return nil, err
	}
	if s.nc, err = nats.Connect(server.URL(), nats.UserInfo(user, password)); err != nil {
		return nil, err
	}
	s.js, err = jetstream.New(s.nc, jetstream.WithPublishAsyncMaxPending(2048))
	return s, err
}

// url is where processes find the server.
func (s *store) url() string {
	user, password := s.server.Credentials()
	return fmt.Sprintf("nats://%s:%s@%s", user, password, s.server.URL()[len("nats://"):])
}

func (s *store) close() error {
	s.nc.Close()
	s.bus.Close()
	return s.server.Stop()
}

// timetable says when secrets are due. One is due when the fleet starts; then come
// those of the steady phase, one after another, and those of the burst.
//
// They come in the order in which their records are in the store, as tokens of equal
// lifetimes do: each refresh puts a secret behind those that were refreshed before.
// Or they come in no order, as if each had a lifetime of its own, and then a store
// that keeps what was read last does not have what is due next.
type timetable struct {
	random  bool
	secrets int // in all
	steady  int // how many of them fall due one after another
	burst   int // how many at once
	rate    int
	first   time.Time // of the one that is due at the start
	from    time.Time // of the steady phase
	at      time.Time // of the burst
}

// stride goes through all secrets in no order, if it is prime to their number.
const stride = 7_368_787 // a prime

// turn is the place of the secret i among those that fall due. In no order, the
// first is in the middle of the store.
func (t timetable) turn(i int) int {
	if t.random {
		return (i + t.secrets/2) * stride % t.secrets
	}
	return i
}

// falls reports whether this run lives to see the secret fall due.
func (t timetable) falls(i int) bool { return t.turn(i) <= t.steady+t.burst }

func (t timetable) due(i int) time.Time {
	switch turn := t.turn(i); {
	case turn == 0:
		return t.first
	case turn <= t.steady:
		return t.from.Add(time.Duration(turn-1) * time.Second / time.Duration(t.rate)).Truncate(time.Millisecond)
	case turn <= t.steady+t.burst:
		return t.at
	default:
		return t.at.Add(lasting + time.Duration(i)*time.Millisecond)
	}
}

// dues are the due times by secret, zero for those that this run does not live to
// see.
func (t timetable) dues() []time.Time {
	all := make([]time.Time, t.secrets)
	for i := range all {
		if t.falls(i) {
			all[i] = t.due(i)
		}
	}
	return all
}

const clientSecret = "a-client-secret-of-forty-characters-here"

// loader writes the records of secrets.
type loader struct {
	store     *store
	tokenURLs []string // of the hosts that secrets ask, in turn
	table     timetable
	sealer    *seal.Sealer     // as the api seals
	opener    *seal.Opener     // as exchangers seal
	value     []byte           // the sealed value of every secret
	unopened  []byte           // the sealed credential of those that never fall due
	deployed  []state.Revision // of each secret's artifact, once it is stored
	company   string
	// The properties by the share of all secrets that they hold: a tenth, a
	// hundredth, and the rest in thousands.
	properties, environments []string
}

func newLoader(s *store, dir string, tokenURLs []string, t timetable) (*loader, error) {
	ring, _, err := seal.CreateKeyring(filepath.Join(dir, "keyring.json"), time.Now())
	if err != nil {
		return nil, err
	}
	l := &loader{
		store: s, tokenURLs: tokenURLs, table: t, company: secret.NewID(secret.PrefixCompany),
		opener: seal.NewOpener(ring), deployed: make([]state.Revision, t.secrets),
	}
	if l.sealer, err = seal.NewSealer(ring.Keyset()); err != nil {
		return nil, err
	}
	l.value, err = l.opener.Seal(seal.Binding{Secret: "all", Field: "value", Generation: 1}, seal.NewPlaintext(accessToken))
	if err != nil {
		return nil, err
	}
	// It does not open: it is bound to another secret. It has the right length.
	l.unopened, err = l.sealer.Seal(seal.LongLived, seal.Binding{Secret: "none", Field: "client_secret", Generation: 1}, seal.NewPlaintext(clientSecret))
	for range 3 + t.secrets/1000 {
		l.properties = append(l.properties, secret.NewID(secret.PrefixProperty))
		l.environments = append(l.environments, secret.NewID(secret.PrefixEnvironment))
	}
	return l, err
}

// propertyOf is the number of the property that holds the secret i.
func (l *loader) propertyOf(i int) int {
	switch {
	case i%10 == 0:
		return 0
	case i%100 == 1:
		return 1
	default:
		return 2 + i/1000%(len(l.properties)-2)
	}
}

// tree writes what secrets hang in.
func (l *loader) tree() error {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err := l.put(state.CompanyKey(l.company), &api.Company{
		ID: l.company, Org: api.DefaultOrg, Name: "Bench", Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
	}); err != nil {
		return err
	}
	for i, id := range l.properties {
		if err := l.put(state.PropertyKey(id), &api.Property{
			ID: id, Org: api.DefaultOrg, Company: l.company, Name: fmt.Sprint("property ", i), Platform: api.Edge,
			Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
		}); err != nil {
			return err
		}
		if err := l.put(state.EnvironmentKey(l.environments[i]), &api.Environment{
			ID: l.environments[i], Org: api.DefaultOrg, Property: id, Name: "production", Stage: api.Production,
			Token: "0123456789ab", CreatedAt: now, UpdatedAt: now,
		}); err != nil {
			return err
		}
	}
	return nil
}

// loading is how many secrets are written at a time: one waits for its artifact to be
// stored, others do not wait for it.
const loading = 256

// load calls write for all secrets, nearly in their order, and returns when all that
// was written is stored.
func (l *loader) load(ctx context.Context, write func(ctx context.Context, i int) error) error {
	g, working := errgroup.WithContext(ctx)
	for first := range loading {
		g.Go(func() error {
			for i := first; i < l.table.secrets && working.Err() == nil; i += loading {
				if err := write(working, i); err != nil {
					return err
				}
			}
			return working.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	select {
	case <-l.store.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// secret writes the records of one secret as they stand after its first exchange.
func (l *loader) secret(ctx context.Context, i int) error {
	s, outcome := l.exchanged(i)
	artifact := &secret.Artifact{Secret: s.ID, Environment: s.Environment, Generation: 1, Sealed: l.value, ExpiresAt: outcome.ExpiresAt}
	stored, err := l.send(state.ArtifactKey(s.Environment, s.ID), artifact)
	if err != nil {
		return err
	}
	binding := seal.Binding{Secret: s.ID, Field: s.Credentials.SealedAs("client_secret"), Generation: 1}
	sealed, err := l.credential(i, binding)
	if err != nil {
		return err
	}
	copied, err := l.opener.Seal(binding, seal.NewPlaintext(clientSecret))
	if err != nil {
		return err
	}
	for _, r := range []struct {
		key   string
		value any
	}{
		{state.NameKey(s.Property, s.Name), s.ID},
		{state.CredentialKey(s.ID), hidden(sealed)},
		{state.GrantKey(s.ID), &secret.Grant{Outcome: outcome, Credential: hidden(copied)}},
	} {
		if err := l.put(r.key, r.value); err != nil {
			return err
		}
	}
	if l.deployed[i], err = revision(ctx, stored); err != nil {
		return err
	}
	s.DeployedRevision = l.deployed[i]
	return l.put(state.SecretKey(s.ID), s)
}

// revision waits until a record is stored.
func revision(ctx context.Context, stored jetstream.PubAckFuture) (state.Revision, error) {
	select {
	case ack := <-stored.Ok():
		return state.Revision(ack.Sequence), nil
	case err := <-stored.Err():
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func hidden(sealed []byte) *secret.Credential {
	return &secret.Credential{Generation: 1, Fields: map[string]secret.SealedField{"client_secret": {Generation: 1, Sealed: sealed}}}
}

// reschedule writes the record of a secret again, now that it is known when it
// falls due.
func (l *loader) reschedule(_ context.Context, i int) error {
	if !l.table.falls(i) || l.table.turn(i) == 0 {
		return nil
	}
	s, _ := l.exchanged(i)
	s.DeployedRevision = l.deployed[i]
	return l.put(state.SecretKey(s.ID), s)
}

// exchanged is a secret as it stands after its first exchange, and that one's
// outcome.
func (l *loader) exchanged(i int) (*secret.Secret, *secret.Outcome) {
	due := l.table.due(i)
	now := due.Add(-time.Hour)
	s := l.describe(i, now)
	outcome := &secret.Outcome{
		Decision: s.Decision, Action: secret.Exchange, StartedAt: now, At: now,
		Environment: s.Environment, Sealed: l.value, ExpiresAt: due.Add(offset), RefreshAt: due,
	}
	s.Apply(outcome, now)
	return s, outcome
}

// id is the id of a secret, the same each time. It looks as random as others.
func (l *loader) id(i int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", l.company, i))
	h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80 // version 4 (RFC 9562)
	return string(secret.PrefixSecret) + hex.EncodeToString(h[:16])
}

// credential seals the client secret of a secret that falls due. Sealing a million
// would take longer than all that is measured.
func (l *loader) credential(i int, binding seal.Binding) ([]byte, error) {
	if !l.table.falls(i) {
		return l.unopened, nil
	}
	return l.sealer.Seal(seal.LongLived, binding, seal.NewPlaintext(clientSecret))
}

func (l *loader) describe(i int, now time.Time) *secret.Secret {
	property := l.propertyOf(i)
	seconds := int64(offset / time.Second)
	s := &secret.Secret{
		ID: l.id(i), Org: api.DefaultOrg, Property: l.properties[property],
		Name: fmt.Sprintf("secret %07d", i), Kind: secret.OAuth2, CredentialGeneration: 1,
		Credentials: secret.Credentials{ClientID: clientID(i), TokenURL: l.tokenURLs[i%len(l.tokenURLs)], RefreshOffset: &seconds},
		CreatedAt:   now, UpdatedAt: now,
		CreatedBy: secret.Actor{Email: "admin@example.com", DisplayName: "Administrator"},
		UpdatedBy: secret.Actor{Email: "admin@example.com", DisplayName: "Administrator"},
	}
	s.Attach(l.environments[property], string(api.Production))
	s.Ask(now)
	return s
}

// put writes a record without waiting for the server's word, which comes at the
// end for all of them: nobody else writes yet.
func (l *loader) put(key string, value any) error {
	_, err := l.send(key, value)
	return err
}

// send does the same, for whoever wants to know when the record is stored.
func (l *loader) send(key string, value any) (jetstream.PubAckFuture, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	subject := "$KV." + string(state.BucketOf(key)) + "." + key
	return l.store.js.PublishMsgAsync(&nats.Msg{Subject: subject, Data: body}, jetstream.WithStallWait(time.Minute))
}
