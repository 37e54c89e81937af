// Command upstream is an example of a system that has its tenants' credentials kept
// fresh by Rekindle, over NATS. It is written with nats.go and Rekindle's package
// events, and nothing else:
//
//	upstream -nats nats://127.0.0.1:4222 -creds acme.nk -org ACME -property PR… < tenants.ndjson
//
// It reads one tenant per line,
//
//	{"name": "tenant 42", "client_id": "…", "client_secret": "…", "token_url": "https://…"}
//
// publishes SecretCreated for each, with the client secret sealed so that only the
// fleet's exchangers can read it, and prints the answers in the order of the lines. It may
// be run again with the same lines: the same event is carried out once.
//
// The exit code is 1 if an event was refused, or has no answer yet.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/sealing"
)

// source is what this system calls itself in its events.
const source = "/examples/upstream"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// upstream is this system.
type upstream struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	keys     sealing.Keyset
	org      string
	property string
	patience time.Duration
}

// tenant is a line of the input.
type tenant struct {
	Name         string `json:"name"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	TokenURL     string `json:"token_url"`
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var u upstream
	f := flag.NewFlagSet("upstream", flag.ContinueOnError)
	url := f.String("nats", "nats://127.0.0.1:4222", "the fleet's NATS server")
	creds := f.String("creds", "", "file with this system's nkey seed, or its .creds")
	f.StringVar(&u.org, "org", "", "organisation")
	f.StringVar(&u.property, "property", "", "id of the property that the secrets are made in")
	f.DurationVar(&u.patience, "wait", 30*time.Second, "how long to wait for an answer")
	if err := f.Parse(args); err != nil {
		return err
	}
	if u.org == "" || u.property == "" {
		return errors.New("-org and -property are needed")
	}
	if err := u.connect(*url, *creds); err != nil {
		return err
	}
	defer u.nc.Close()
	if err := u.fetchKeys(ctx); err != nil {
		return err
	}
	refused := 0
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var t tenant
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return errors.New("a line is not the JSON of a tenant") // the line may have a secret in it
		}
		ok, err := u.register(ctx, t, out)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if !ok {
			refused++
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d events were refused", refused)
	}
	return lines.Err()
}

func (u *upstream) connect(url, creds string) (err error) {
	options := []nats.Option{nats.Name("example of an upstream system")}
	switch {
	case strings.HasSuffix(creds, ".creds"):
		options = append(options, nats.UserCredentials(creds))
	case creds != "":
		seed, err := nats.NkeyOptionFromSeed(creds)
		if err != nil {
			return err
		}
		options = append(options, seed)
	}
	if u.nc, err = nats.Connect(url, options...); err != nil {
		return err
	}
	u.js, err = jetstream.New(u.nc)
	return err
}

// fetchKeys asks for the fleet's public keys. They change seldom; what is sealed to old
// ones is still read for long. Who runs for days asks again every hour.
func (u *upstream) fetchKeys(ctx context.Context) error {
	answer, err := u.nc.RequestWithContext(ctx, events.KeysetSubject, nil)
	if err != nil {
		return fmt.Errorf("fetch the fleet's public keys: %w", err)
	}
	u.keys, err = sealing.Parse(answer.Data)
	return err
}

// register publishes that a tenant has come, waits for the answer, and reports whether it
// is that the secret is there.
func (u *upstream) register(ctx context.Context, t tenant, out io.Writer) (ok bool, err error) {
	e, err := u.created(t)
	if err != nil {
		return false, err
	}
	answers, err := u.nc.SubscribeSync(e.Reply)
	if err != nil {
		return false, err
	}
	defer answers.Unsubscribe() //nolint:errcheck // nobody answers there again
	subject, header, body, err := intake.Encode(e)
	if err != nil {
		return false, err
	}
	// From when the stream has it, the event is not lost: it is taken in as soon as the
	// fleet can.
	if _, err := u.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: nats.Header(header), Data: body}); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.patience)
	defer cancel()
	answer, err := answers.NextMsgWithContext(ctx)
	if err != nil {
		return false, fmt.Errorf("no answer yet; run again to ask for it: %w", err)
	}
	a, err := events.Decode(events.Header(answer.Header), answer.Data)
	if err != nil {
		return false, err
	}
	return told(t, a.Data, out), nil
}

// created is the event that says that a tenant has come. Its id is made from what it says,
// so that it is the same when the program is run again, and another when the tenant has
// another secret.
func (u *upstream) created(t tenant) (intake.Event, error) {
	data := intake.SecretCreated{
		Property: u.property, Name: t.Name, TypeOf: "oauth2-client_credentials",
		Credentials: intake.Credentials{ClientID: t.ClientID, TokenURL: t.TokenURL},
	}
	err := data.Credentials.Seal(u.keys, u.org, data.About(), sealing.FieldClientSecret, []byte(t.ClientSecret))
	digest := sha256.Sum256([]byte(strings.Join([]string{u.property, t.Name, t.ClientID, t.ClientSecret, t.TokenURL}, "\x00")))
	return intake.Event{
		ID: hex.EncodeToString(digest[:16]), Source: source, Org: u.org, Time: time.Now(),
		Reply: intake.NewReplySubject(u.org), Data: data,
	}, err
}

// told prints an answer.
func told(t tenant, answer events.Data, out io.Writer) (ok bool) {
	switch a := answer.(type) {
	case events.Accepted:
		word := "accepted"
		if a.Duplicate {
			word = "accepted before"
		}
		fmt.Fprintf(out, "%s: %s as %s\n", t.Name, word, a.Secret)
		return true
	case events.Rejected:
		fmt.Fprintf(out, "%s: refused\n", t.Name)
		for _, p := range a.Problems {
			fmt.Fprintf(out, "  %s: %s\n", p.Pointer, p.Detail)
		}
	}
	return false
}
