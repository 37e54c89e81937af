package intake_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/internal/golden"
	"github.com/rekindle-dev/rekindle/events/sealing"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	secretID = "SE0123456789ab4cde8f0123456789abcd"
	property = "PR0123456789ab4cde8f0123456789abcd"
	env      = "EN0123456789ab4cde8f0123456789abcd"
	org      = "0123456789ABCDEF@TestOrg"
)

func noon() time.Time { return time.Date(2024, time.May, 1, 12, 0, 0, 0, time.UTC) }

func wrap(id string, d intake.Data) intake.Event {
	return intake.Event{
		ID: id, Source: "/crm", Org: org, Time: noon().Add(123 * time.Millisecond),
		Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: d,
	}
}

// sealedSample has the form of a value that is sealed for the shorter of the two classes.
func sealedSample() (v sealing.Value) {
	raw := append([]byte("\x02keyid#01"), bytes.Repeat([]byte{0xAB}, 32+16+7)...)
	if err := v.UnmarshalJSON([]byte(`{"sealed":"` + base64.StdEncoding.EncodeToString(raw) + `"}`)); err != nil {
		panic(err)
	}
	return v
}

// samples holds an event of each type with all it can say, and some with the least;
// by the name of their golden file.
func samples() map[string]intake.Event {
	sealed, offset := sealedSample(), int64(14400)
	created := wrap("account 7/created", intake.SecretCreated{
		Property: property, Name: "billing API", TypeOf: "oauth2", Environment: env,
		Credentials: intake.Credentials{
			ClientID: "rekindle", ClientSecret: sealed, TokenURL: "https://id.example.test/token",
			RefreshOffset: &offset, Options: map[string]string{"scope": "read write"},
		},
	})
	created.Reply = "rekindle.v1.reply.0123456789ABCDEF=40TestOrg.ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	least := wrap("1", intake.SecretCreated{Property: property, Name: "n", TypeOf: "oauth2-linkedin"})
	least.Trace = ""
	strange := wrap("a b/%\"é€😀", intake.SecretDeleted{Which: intake.Which{Property: property, Name: "<b>\u2028&"}})
	strange.Org, strange.Source = "My Company, Ünited", "//crm.example.test/gr%C3%B6%C3%9Fe?a=1"
	return map[string]intake.Event{
		"SecretCreated":       created,
		"SecretCreated-least": least,
		"SecretCreated-token": wrap("2", intake.SecretCreated{
			Property: property, Name: "n", TypeOf: "token", Credentials: intake.Credentials{Token: sealed},
		}),
		"SecretCreated-simple": wrap("3", intake.SecretCreated{
			Property: property, Name: "n", TypeOf: "simple-http", Credentials: intake.Credentials{Username: "ada", Password: sealed},
		}),
		"SecretCreated-jwt": wrap("4", intake.SecretCreated{
			Property: property, Name: "n", TypeOf: "oauth2-jwt", Credentials: intake.Credentials{
				Iss: "iss@example.test", Aud: "https://id.example.test", Sub: "sub", TTL: 3600, Alg: "RS256",
				CustomClaims: map[string]any{"target_audience": "https://api.example.test", "admin": true},
				PrivateKey:   sealed, PrivateKeyID: "kid",
			},
		}),
		"SecretCreated-google": wrap("5", intake.SecretCreated{
			Property: property, Name: "n", TypeOf: "oauth2-google",
			Credentials: intake.Credentials{Scopes: []string{"https://www.googleapis.com/auth/adwords"}},
		}),
		"SecretUpdated": wrap("account 7/renamed", intake.SecretUpdated{
			Which: intake.Which{Secret: secretID}, NewName: "billing", Environment: env,
			Credentials: intake.Credentials{ClientSecret: sealed},
		}),
		"SecretUpdated-least": wrap("6", intake.SecretUpdated{
			Which: intake.Which{Property: property, Name: "billing API"}, NewName: "billing",
		}),
		"SecretDeleted":         wrap("account 7/closed", intake.SecretDeleted{Which: intake.Which{Secret: secretID}}),
		"SecretDeleted-strange": strange,
		"RetryRequested":        wrap("7", intake.RetryRequested{Which: intake.Which{Secret: secretID}}),
		"RetryRequested-named":  wrap("8", intake.RetryRequested{Which: intake.Which{Property: property, Name: "n"}}),
		"ReauthorizeRequested":  wrap("9", intake.ReauthorizeRequested{Which: intake.Which{Secret: secretID}}),
	}
}

// message is an event as it is published.
type message struct {
	subject string
	header  events.Header
	body    []byte
}

func encoded(t testing.TB, e intake.Event) message {
	t.Helper()
	subject, h, body, err := intake.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return message{subject, h, body}
}

func (m message) decode() (intake.Event, error) { return intake.Decode(m.subject, m.header, m.body) }

// format writes a message as text: the subject on a line, and what follows.
func (m message) format() []byte {
	return append([]byte(m.subject+"\n"), golden.Format(m.header, m.body)...)
}

func readGolden(t testing.TB, path string) message {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	subject, rest, _ := strings.Cut(string(text), "\n")
	header, body := golden.Parse(t, rest)
	return message{subject, header, body}
}

// TestGolden holds the form of every event still: programs of others write it. It
// does not run in parallel, because -update writes what other tests read.
func TestGolden(t *testing.T) {
	for name, e := range samples() {
		golden.Check(t, filepath.Join("testdata", name+".golden"), encoded(t, e).format(), *update)
	}
}

// TestGoldenFiles decodes what is in testdata, a file that no sample writes any more
// included.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := samples()
	for _, path := range files {
		e, err := readGolden(t, path).decode()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(path), ".golden")
		if !reflect.DeepEqual(e, want[name]) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", path, e, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("without a golden file: %v", slices.Sorted(maps.Keys(want)))
	}
}

// Every type has a sample, and is told from the fleet's own of the same name.
func TestTypes(t *testing.T) {
	t.Parallel()
	for _, typ := range intake.Types() {
		e, ok := samples()[string(typ)]
		if !ok || e.Data.Type() != typ {
			t.Errorf("no sample of type %s", typ)
			continue
		}
		m := encoded(t, e)
		if _, err := events.Decode(m.header, m.body); err == nil {
			t.Errorf("%s is read as a fact", typ)
		}
	}
}

// Members and headers of later versions are ignored.
func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	for name, want := range samples() {
		m := encoded(t, want)
		m.header["ce-later"] = []string{"x"}
		m.body = append([]byte(`{"later":{"deep":[1,{"x":null}]},`), m.body[1:]...)
		got, err := m.decode()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: error %v\ngot  %+v\nwant %+v", name, err, got, want)
		}
	}
}

// The hidden credentials of contract A9, and no others, have a type that no
// plaintext can be put into.
func TestHidden(t *testing.T) {
	t.Parallel()
	hidden := []string{"client_secret", "password", "private_key", "token"}
	var sealed []string
	for f := range reflect.TypeFor[intake.Credentials]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[sealing.Value]() {
			sealed = append(sealed, name)
		}
		body := []byte(`{"property":"p","name":"n","credentials":{"` + name + `":"CANARY"}}`)
		m := encoded(t, samples()["SecretCreated"])
		m.body = body
		delete(m.header, events.HeaderSubject)
		_, err := m.decode()
		if slices.Contains(hidden, name) && err == nil {
			t.Errorf("%s can be plain text", name)
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: the error %q quotes the body", name, err)
		}
	}
	slices.Sort(sealed)
	if !slices.Equal(sealed, hidden) {
		t.Errorf("sealed are %q, want %q", sealed, hidden)
	}
}

// What Decode would refuse is not published.
func TestEncodeErrors(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*intake.Event){
		"no data":   func(e *intake.Event) { e.Data = nil },
		"no secret": func(e *intake.Event) { e.Data = intake.SecretDeleted{} },
		"a secret named twice": func(e *intake.Event) {
			e.Data = intake.RetryRequested{Which: intake.Which{Secret: secretID, Name: "n"}}
		},
		"a name without property": func(e *intake.Event) { e.Data = intake.SecretDeleted{Which: intake.Which{Name: "n"}} },
		"a property without name": func(e *intake.Event) { e.Data = intake.SecretCreated{Property: property} },
		"no id":                   func(e *intake.Event) { e.ID = "" },
		"a long id":               func(e *intake.Event) { e.ID = strings.Repeat("x", intake.MaxText+1) },
		"an id with a line break": func(e *intake.Event) { e.ID = "a\nb" },
		"an id that is not UTF-8": func(e *intake.Event) { e.ID = "a\xff" },
		"no source":               func(e *intake.Event) { e.Source = "" },
		"no organisation":         func(e *intake.Event) { e.Org = "" },
		"organisation not UTF-8":  func(e *intake.Event) { e.Org = "\xff" },
		"no time":                 func(e *intake.Event) { e.Time = time.Time{} },
		"far future":              func(e *intake.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a reply to anywhere":     func(e *intake.Event) { e.Reply = "$JS.API.STREAM.DELETE.INTAKE" },
		"a reply to others":       func(e *intake.Event) { e.Reply = intake.NewReplySubject("others") },
		"too long": func(e *intake.Event) {
			e.Data = intake.SecretCreated{Property: property, Name: strings.Repeat("x", events.MaxBody)}
		},
		"what JSON cannot write": func(e *intake.Event) {
			e.Data = intake.SecretCreated{
				Property: property, Name: "n", Credentials: intake.Credentials{CustomClaims: map[string]any{"x": func() {}}},
			}
		},
	} {
		e := samples()["SecretCreated"]
		change(&e)
		if subject, h, body, err := intake.Encode(e); err == nil || h != nil || body != nil || subject != "" {
			t.Errorf("%s: got header %v, error %v", name, h, err)
		}
	}
}

// What Seal puts into a member is for that member, of that secret, in that organisation.
func TestSeal(t *testing.T) {
	t.Parallel()
	hybrid, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key := sealing.NewPublicKey(hybrid.PublicKey(), x25519.PublicKey(), noon())
	keys, err := sealing.NewKeyset(key.ID(), []sealing.PublicKey{key})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range sealing.Fields() {
		c := intake.Credentials{TokenURL: "https://id.example/token"}
		if err := c.Seal(keys, "ACME", "PR1/crm", field, []byte("s3cret")); err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(written, &members); err != nil {
			t.Fatal(err)
		}
		if len(members) != 2 || members[field] == nil {
			t.Errorf("%s is sealed as %s", field, written)
		}
	}
	var c intake.Credentials
	if err := c.Seal(keys, "ACME", "PR1/crm", sealing.FieldClientSecret, []byte("s3cret")); err == nil {
		t.Error("a client secret is sealed for no server")
	}
	if err := c.Seal(keys, "ACME", "PR1/crm", "nickname", []byte("s3cret")); err == nil {
		t.Error("a nickname is sealed")
	}
}
