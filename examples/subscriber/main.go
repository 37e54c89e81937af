// Command subscriber is an example of a system that wants to know how its organisation's
// secrets fare. It is written with nats.go and Rekindle's package events, and nothing
// else.
//
// Events are what happened, from a moment on:
//
//	subscriber -org ACME -since 2h
//	subscriber -org ACME -type ReauthorizationDue,CredentialExpired
//	subscriber -org ACME -durable oncall
//
// A durable subscription is remembered by the server: what comes while nobody
// listens is handed over later, at least once, and what was acknowledged is not
// handed over again.
//
// A status is how a secret stands now, and then each time that it changes:
//
//	subscriber -org ACME -status -property PR… -kind oauth2-google
//
// What it reads are the copies that readers have in their own NATS account, with the
// credentials of -creds. At a server without accounts they are called -stream EVENTS and
// -bucket status.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && ctx.Err() == nil {
		stop()
		fmt.Fprintln(os.Stderr, "subscriber:", err)
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// subscriber is what was asked for.
type subscriber struct {
	js                          jetstream.JetStream
	out                         io.Writer
	org, property, kind, secret string
	types                       string
	stream, bucket              string
	since                       time.Duration
	durable                     string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s := subscriber{out: out}
	f := flag.NewFlagSet("subscriber", flag.ContinueOnError)
	url := f.String("nats", "nats://127.0.0.1:4222", "the fleet's NATS server")
	creds := f.String("creds", "", "file with this system's nkey seed, or its .creds")
	status := f.Bool("status", false, "print statuses in place of events")
	f.StringVar(&s.org, "org", "", "organisation")
	f.StringVar(&s.property, "property", "", "only of the property with this id (statuses)")
	f.StringVar(&s.kind, "kind", "", "only of this type of secret (statuses)")
	f.StringVar(&s.secret, "secret", "", "only of the secret with this id")
	f.StringVar(&s.types, "type", "", "only events of these types, with commas between")
	f.DurationVar(&s.since, "since", 0, "begin so long ago (0: now)")
	f.StringVar(&s.stream, "stream", "ORG_EVENTS", "stream that holds the events")
	f.StringVar(&s.bucket, "bucket", "org_status", "bucket that holds the statuses")
	f.StringVar(&s.durable, "durable", "", "name of a subscription that is remembered")
	if err := f.Parse(args); err != nil {
		return err
	}
	if s.org == "" {
		return errors.New("-org is needed")
	}
	nc, err := connect(*url, *creds)
	if err != nil {
		return err
	}
	defer nc.Close()
	if s.js, err = jetstream.New(nc); err != nil {
		return err
	}
	if *status {
		return s.watch(ctx)
	}
	return s.read(ctx)
}

func connect(url, creds string) (*nats.Conn, error) {
	options := []nats.Option{nats.Name("example of a subscriber")}
	switch {
	case strings.HasSuffix(creds, ".creds"):
		options = append(options, nats.UserCredentials(creds))
	case creds != "":
		seed, err := nats.NkeyOptionFromSeed(creds)
		if err != nil {
			return nil, err
		}
		options = append(options, seed)
	}
	return nats.Connect(url, options...)
}

// watch prints statuses: of all secrets first, then each that changes.
func (s *subscriber) watch(ctx context.Context) error {
	bucket, err := s.js.KeyValue(ctx, s.bucket)
	if err != nil {
		return err
	}
	watch, err := bucket.Watch(ctx, events.StatusKeys(s.org, s.property, s.kind, s.secret))
	if err != nil {
		return err
	}
	defer watch.Stop() //nolint:errcheck // the connection ends with it
	for {
		select {
		case entry := <-watch.Updates():
			if entry != nil { // nil comes when all that was there is told
				s.told(entry)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *subscriber) told(entry jetstream.KeyValueEntry) {
	if entry.Operation() != jetstream.KeyValuePut {
		fmt.Fprintf(s.out, "%s is gone\n", entry.Key())
		return
	}
	var status events.Status
	if err := json.Unmarshal(entry.Value(), &status); err != nil {
		fmt.Fprintf(s.out, "%s cannot be read: %v\n", entry.Key(), err)
		return
	}
	fmt.Fprintf(s.out, "%s %q is %s, works until %s\n", status.Secret, status.Name, status.Status, moment(status.ExpiresAt))
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "nobody knows when"
	}
	return t.Format(time.RFC3339)
}

// read prints events, and acknowledges each when that is done.
func (s *subscriber) read(ctx context.Context) error {
	consumer, err := s.consumer(ctx)
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		s.print(m)
		if s.durable != "" {
			if err := m.Ack(); err != nil {
				return err
			}
		}
	}
}

// consumer begins where it was asked to: with one that the server remembers, or with one
// that goes with this process, which keeps the order and mends what gets lost on the way.
func (s *subscriber) consumer(ctx context.Context) (jetstream.Consumer, error) {
	var subjects []string
	for t := range strings.SplitSeq(s.types, ",") {
		subjects = append(subjects, events.SubjectsIn(s.org, events.Type(t), s.secret))
	}
	policy, from := jetstream.DeliverNewPolicy, (*time.Time)(nil)
	if s.since > 0 {
		at := time.Now().Add(-s.since)
		policy, from = jetstream.DeliverByStartTimePolicy, &at
	}
	if s.durable == "" {
		return s.js.OrderedConsumer(ctx, s.stream, jetstream.OrderedConsumerConfig{
			FilterSubjects: subjects, DeliverPolicy: policy, OptStartTime: from,
		})
	}
	return s.js.CreateOrUpdateConsumer(ctx, s.stream, jetstream.ConsumerConfig{
		Durable: s.durable, FilterSubjects: subjects, DeliverPolicy: policy, OptStartTime: from,
		AckPolicy: jetstream.AckExplicitPolicy,
	})
}

// print prints an event. One of a type that this program's version of package events does
// not know is passed over: the fleet may be newer.
func (s *subscriber) print(m jetstream.Msg) {
	e, err := events.Decode(events.Header(m.Headers()), m.Data())
	if errors.Is(err, events.ErrUnknownType) {
		return
	}
	if err != nil {
		fmt.Fprintf(s.out, "an event cannot be read: %v\n", err)
		return
	}
	fmt.Fprintf(s.out, "%s %s %s%s\n", e.Time.Format(time.RFC3339), e.Data.Type(), e.Data.About(), comment(e.Data))
}

// comment is what people want to know first of some events.
func comment(data events.Data) string {
	switch d := data.(type) {
	case events.ExchangeFailed:
		return fmt.Sprintf(": %s (%s)", d.Detail, d.Reason)
	case events.ReauthorizationDue:
		return fmt.Sprintf(": a person has to consent within %d days", d.DaysLeft)
	case events.CredentialExpiring:
		return fmt.Sprintf(": it stops working at %s", moment(d.ExpiresAt))
	case events.CredentialExpired:
		return ": it has stopped working"
	default:
		return ""
	}
}
