package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Names of the streams and of the durable consumer.
const (
	streamLeases = "KV_leases"
	streamStatus = "KV_" + events.StatusBucket
	streamEvents = "EVENTS"
	streamJobs   = "JOBS"
	streamParked = "PARKED"
	streamAudit  = "AUDIT"
	streamIntake = "INTAKE"

	consumerExchanger = "exchanger"
	consumerAudit     = "audit"

	prefixLeases = "$KV.leases."
	prefixStatus = "$KV." + events.StatusBucket + "."
)

// Limits of the streams, all in one place. What is only told must never take the
// space of the truth: the oldest events go first. An operator may change the
// sizes of a stream that is there. JOBS is bounded by the number of secrets.
const (
	maxEvents = 1 << 30
	maxParked = 64 << 20
	// maxStatuses is room for a million statuses and more.
	maxStatuses = 2 << 30
	keepEvents  = 30 * 24 * time.Hour
	keepParked  = 90 * 24 * time.Hour
	// maxRecord bounds a record of the state with its headers.
	maxRecord = state.MaxValue + 4<<10
	// eventsDuplicates is how long a repeated event is recognised by its id.
	eventsDuplicates = 2 * time.Minute
	maxParkedPer     = 10
	// keepIntake is how long what upstream systems publish waits for a fleet that is away;
	// maxIntake is how much of it. What has no room is refused, and its publisher told.
	keepIntake = 7 * 24 * time.Hour
	maxIntake  = 256 << 20
	// leastDuplicates is the least that a server takes for none.
	leastDuplicates = 100 * time.Millisecond
)

// How long and how much of the audit trail is kept, unless a [Config] says otherwise.
const (
	DefaultAuditKeep  = 400 * 24 * time.Hour
	DefaultAuditBytes = 2 << 30
)

// AckWait is after how long a job is given to another exchanger when the one
// that holds it has shown no sign of life.
const AckWait = 4 * time.Second

// maxAckPending bounds the jobs in flight over all exchangers.
const maxAckPending = 20_000

func (b *Bus) streams() []jetstream.StreamConfig {
	all := []jetstream.StreamConfig{{
		Name: streamLeases, Description: "who shares which work",
		// On file, though a list is worth nothing after seconds: a stream in memory
		// is gone with its server, and nobody declares it again. A member takes some
		// 60 bytes of a list.
		Subjects: []string{prefixLeases + ">"}, MaxMsgsPerSubject: 1, MaxMsgSize: 64 << 10,
		AllowRollup: true, DenyDelete: true, Discard: jetstream.DiscardNew,
		AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute,
	}, {
		Name: streamEvents, Description: "facts, for everyone",
		Subjects: []string{events.AllEvents}, MaxAge: keepEvents, MaxBytes: maxEvents, MaxMsgSize: 2 * events.MaxBody,
		Duplicates: eventsDuplicates, AllowDirect: true,
	}, {
		Name: streamJobs, Description: "orders for exchangers, one per secret",
		Subjects: []string{events.AllJobs}, Retention: jetstream.WorkQueuePolicy, MaxMsgSize: 2 * events.MaxBody,
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
	}, {
		Name: streamParked, Description: "what needs a person",
		Subjects: []string{events.AllParked}, MaxAge: keepParked, MaxBytes: maxParked, MaxMsgsPerSubject: maxParkedPer, MaxMsgSize: 4 * events.MaxBody,
		AllowDirect: true,
	}, {
		Name: streamAudit, Description: "the audit trail, a message per page",
		Subjects: []string{events.AllAudit}, MaxAge: cmp.Or(b.audit.Keep, DefaultAuditKeep), MaxBytes: cmp.Or(b.audit.Bytes, DefaultAuditBytes),
		MaxMsgSize: audit.MaxPage + 4<<10, AllowDirect: true,
		// Written once a second at most, and much the same over and over.
		Compression: jetstream.S2Compression,
		// Nobody takes a page out, or all of them, by a command.
		DenyDelete: true, DenyPurge: true,
	}, {
		Name: streamIntake, Description: "what upstream systems ask for, until it is done or refused",
		Subjects: []string{publishedIntake}, Retention: jetstream.WorkQueuePolicy, MaxAge: keepIntake, MaxBytes: maxIntake,
		MaxMsgSize: 2 * events.MaxBody, Discard: jetstream.DiscardNew,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: publishedIntake, Destination: queuedIntake()},
		// Publishers of all organisations share the ids by which the server would know a
		// message again: with one of these, one could have another's message dropped. What
		// comes twice is known by what the fleet remembers.
		Duplicates: leastDuplicates,
	}}
	for _, bucket := range state.Buckets() {
		all = append(all, keep(bucket))
	}
	return append(all, b.statusStream())
}

// keep is the stream of a bucket, with what it takes to be one for other clients, too:
// rollups, no deletion behind its back, the last record served by every replica.
func keep(bucket state.Bucket) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamOf(bucket), Description: "records of the fleet, last per key",
		Subjects: []string{prefixOf(bucket) + ">"}, MaxMsgsPerSubject: 1, MaxMsgSize: maxRecord,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, Discard: jetstream.DiscardNew,
		AllowAtomicPublish: true, AllowMsgTTL: true,
		// The least there is: no write has a message id, and a server that starts
		// reads whatever came within this time to learn the ids.
		Duplicates: leastDuplicates,
	}
}

func streamOf(bucket state.Bucket) string { return "KV_" + string(bucket) }

func prefixOf(bucket state.Bucket) string { return "$KV." + string(bucket) + "." }

// topologyVersion is noted on every stream and on the consumer. Raise it with
// every change of what is declared here: while two versions of the program run
// side by side, the older one leaves alone what the newer has declared.
const (
	topologyVersion = 5
	topologyKey     = "rekindle-topology"
)

// declare creates what is missing and brings what is there up to date. What is as it
// should be it does not touch. Several processes may do so at once.
func (b *Bus) declare(ctx context.Context) error {
	for _, cfg := range b.streams() {
		if err := b.declareOne(ctx, cfg); err != nil {
			return err
		}
	}
	if err := b.declareConsumer(ctx); err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", consumerExchanger, streamJobs, err)
	}
	if err := b.declareHearing(ctx); err != nil {
		return fmt.Errorf("consumer %s of stream %s: %w", consumerAudit, streamEvents, err)
	}
	return nil
}

// declareOne declares one stream.
func (b *Bus) declareOne(ctx context.Context, cfg jetstream.StreamConfig) error {
	cfg.Replicas = b.replicas
	cfg.Metadata = map[string]string{topologyKey: strconv.Itoa(topologyVersion)}
	if err := b.declareStream(ctx, b.keeper(cfg.Name).js, cfg); err != nil {
		return fmt.Errorf("stream %s: %w", cfg.Name, err)
	}
	return nil
}

// keeper is the connection to the account that a stream is in.
func (b *Bus) keeper(stream string) *Bus {
	if stream == streamOf(state.Vault) {
		return b.vault
	}
	return b
}

func (b *Bus) declareStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
		// Another process was first, and wanted something else.
		s, err = js.Stream(ctx, want.Name)
	}
	if err != nil {
		return missing(err)
	}
	have := s.CachedInfo().Config
	if newer(have.Metadata) {
		return nil
	}
	// Where and how large a stream is, is the operator's to change.
	want.Replicas, want.Placement = have.Replicas, have.Placement
	b.keepSize(&want, have)
	if declared(want, have) {
		return nil
	}
	_, err = js.UpdateStream(ctx, want)
	return err
}

// missing says why there is no stream to be had.
func missing(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return errNoJetStream
	}
	return err
}

// declared reports whether a stream is as it is wanted, with what the server makes of what
// is left open. Where it makes something else of it one day, streams are declared anew at
// each start, which does no harm.
func declared(want, have jetstream.StreamConfig) bool {
	for _, limit := range []*int64{&want.MaxMsgs, &want.MaxMsgsPerSubject, &want.MaxBytes} {
		*limit = cmp.Or(*limit, -1)
	}
	want.MaxConsumers = cmp.Or(want.MaxConsumers, -1)
	want.MaxMsgSize = cmp.Or(want.MaxMsgSize, -1)
	want.Duplicates = cmp.Or(want.Duplicates, eventsDuplicates)
	want.Metadata, have.Metadata = ours(want.Metadata), ours(have.Metadata)
	return reflect.DeepEqual(want, have)
}

// ours are the metadata without those of the server.
func ours(metadata map[string]string) map[string]string {
	metadata = maps.Clone(metadata)
	maps.DeleteFunc(metadata, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
	return metadata
}

// check makes sure that what the role needs is there, as this version or a later one
// declares it.
func (b *Bus) check(ctx context.Context) error {
	var names []string
	for _, bucket := range b.role.buckets() {
		names = append(names, streamOf(bucket))
	}
	for _, name := range append(names, b.role.streams()...) {
		s, err := b.keeper(name).js.Stream(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("there is no stream %s: %w", name, errSetup)
		case err != nil:
			return fmt.Errorf("stream %s: %w", name, missing(err))
		case declaredBy(s.CachedInfo().Config.Metadata) < topologyVersion:
			return fmt.Errorf("the stream %s is as an earlier version declared it: %w", name, errSetup)
		}
	}
	return nil
}

// errSetup says what helps whoever may not declare a stream.
var errSetup = errors.New("run rekindle nats setup with the credentials of the role admin, and start this process again")

// keepSize lets a stream keep what it keeps, but for the audit trail as far as this process is
// told how much: not all are.
func (b *Bus) keepSize(want *jetstream.StreamConfig, have jetstream.StreamConfig) {
	audit := want.Name == streamAudit
	if !audit || b.audit.Bytes == 0 {
		want.MaxBytes = have.MaxBytes
	}
	if audit && b.audit.Keep == 0 {
		want.MaxAge = have.MaxAge
	}
}

// declareHearing makes the consumer that the audit trail is told by.
func (b *Bus) declareHearing(ctx context.Context) error {
	var subjects []string
	for _, t := range heardTypes() {
		subjects = append(subjects, events.SubjectsOf(t))
	}
	return b.declareDurable(ctx, streamEvents, jetstream.ConsumerConfig{
		Durable: consumerAudit, AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: subjects,
		// What was announced before there was a trail is not told.
		DeliverPolicy: jetstream.DeliverNewPolicy,
		AckWait:       hearWait, MaxAckPending: maxHeard, MaxDeliver: -1,
	})
}

func (b *Bus) declareConsumer(ctx context.Context) error {
	return b.declareDurable(ctx, streamJobs, jetstream.ConsumerConfig{
		Durable: consumerExchanger, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: b.lane.ackWait, MaxAckPending: maxAckPending,
		// For ever: a job that reached a limit here would stay and block its
		// secret. The lane itself parks what fails too often.
		MaxDeliver: -1,
	})
}

// declareDurable makes a consumer, or brings it up to date unless a later version of the
// program has declared it.
func (b *Bus) declareDurable(ctx context.Context, stream string, want jetstream.ConsumerConfig) error {
	want.Metadata = map[string]string{topologyKey: strconv.Itoa(topologyVersion)}
	c, err := b.js.Consumer(ctx, stream, want.Durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return err
	case newer(c.CachedInfo().Config.Metadata), asWanted(want, c.CachedInfo().Config):
		return nil
	}
	_, err = b.js.CreateOrUpdateConsumer(ctx, stream, want)
	return err
}

// asWanted is declared of a consumer.
func asWanted(want, have jetstream.ConsumerConfig) bool {
	want.Name, want.MaxWaiting = want.Durable, have.MaxWaiting
	want.Metadata, have.Metadata = ours(want.Metadata), ours(have.Metadata)
	return reflect.DeepEqual(want, have)
}

// newer reports whether a later version of the program declared what carries the metadata.
func newer(metadata map[string]string) bool { return declaredBy(metadata) > topologyVersion }

// declaredBy is the version of what carries the metadata, 0 when they name none.
func declaredBy(metadata map[string]string) int {
	v, err := strconv.Atoi(metadata[topologyKey])
	if err != nil {
		return 0
	}
	return v
}

// SetUpReader declares the copies that the readers of an organisation read. The streams that
// are copied have to be there. It needs the role reader-admin.
func SetUpReader(ctx context.Context, cfg Config, org string) error {
	b := &Bus{log: cfg.Logger, links: &links{needed: 1, tell: func(bool) {}}, refusals: newRefusals(), restored: make(chan struct{}, 1)}
	addr, err := address(cfg.URL)
	if err != nil {
		return err
	}
	cfg.Role, cfg.Vault = RoleReaderAdmin, ""
	if err := b.connect(ctx, cfg, addr); err != nil {
		return fmt.Errorf("connect to NATS at %s: %w", addr, err)
	}
	defer b.Close()
	for _, c := range copies(org) {
		if err := b.reaches(ctx, c); err != nil {
			return fmt.Errorf("NATS at %s: the account of the readers of %s: %w", addr, org, err)
		}
		if err := b.declareStream(ctx, b.js, c.stream(org)); err != nil {
			return fmt.Errorf("NATS at %s: stream %s of the readers of %s: %w", addr, c.name, org, translate(err))
		}
	}
	return nil
}

// errApart says what helps when an account does not have what it has of others. A server that
// is to admit a new one by nkeys forgets that when it reads its configuration (2.15.2).
var errApart = errors.New("the server does not let it reach what it is to copy: have it read its configuration once more (nats-server --signal reload), or start it again, and run rekindle nats setup again")

// reaches makes sure that what is copied can be asked for. A copy that was made before that
// would remain empty, and the server would not say so.
func (b *Bus) reaches(ctx context.Context, c copied) error {
	// Nothing comes of a request that asks for nothing, but an answer.
	_, err := b.nc.RequestWithContext(ctx, copyAPI+".CONSUMER.CREATE."+c.of+".x."+c.subjects, nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return errApart
	}
	return err
}

// stream is the copy: it keeps what the other has kept, and what comes.
func (c copied) stream(org string) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name: c.name, Description: "a copy of " + c.of + " for readers", AllowDirect: true, MirrorDirect: true,
		Metadata: map[string]string{topologyKey: strconv.Itoa(topologyVersion)},
		Mirror: &jetstream.StreamSource{
			Name: c.of, FilterSubject: c.subjects,
			External: &jetstream.ExternalStream{APIPrefix: copyAPI, DeliverPrefix: copyDeliver(org)},
		},
	}
	if c.of == streamStatus {
		cfg.MaxMsgsPerSubject, cfg.AllowRollup, cfg.DenyDelete, cfg.AllowMsgTTL = 1, true, true, true
	} else {
		cfg.MaxAge, cfg.MaxBytes = keepEvents, maxEvents
	}
	return cfg
}
