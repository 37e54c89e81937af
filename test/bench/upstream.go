package main

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/services/api"
)

// canary is what nobody may find anywhere: a credential that was sent in plain text.
const canary = "canary-7f3a91-sent-in-plain-text"

// upstreamSource is where the upstream events come from.
const upstreamSource = "/bench"

// letter is an upstream event that is published, maybe more than once.
type letter struct {
	id   string // "" if it has none that can be used
	msg  *nats.Msg
	typ  intake.Type
	name string // of the secret that it is about
	// flaw is what is wrong with it whatever there is, nil if nothing is.
	flaw *flaw
}

// flaw is a way to be refused, by the code and the pointer of the first problem.
type flaw struct {
	what, code, pointer string
	spoil               func(*author, *letter)
}

// verdict is what must become of an upstream event.
type verdict struct {
	accepted      bool
	code, pointer string // of the first problem, if it is refused
	refused       int    // how often it was, before it was accepted or for good
}

// author makes up what upstream systems publish, and knows what must become of it: it
// carries out each event on a model of the fleet, which is the set of names that are taken.
type author struct {
	random     *rand.Rand
	keys       sealing.Keyset
	properties []string

	taken    map[string]bool // property/name
	names    []string        // that were used, taken or not
	letters  []*letter
	verdicts map[string]*verdict // by id
	kinds    map[string]int      // how many of each were published
	nameless int
	made     int // secrets
}

func newAuthor(keys sealing.Keyset, properties []string) *author {
	return &author{
		random: rand.New(rand.NewPCG(7, 11)), // the same story each time
		keys:   keys, properties: properties,
		taken: map[string]bool{}, verdicts: map[string]*verdict{}, kinds: map[string]int{},
	}
}

// next makes up an event, or says one again.
func (a *author) next() (*letter, error) {
	var l *letter
	var err error
	switch dice := a.random.IntN(100); {
	case dice < 12 && len(a.letters) > 0:
		l = a.letters[a.random.IntN(len(a.letters))]
		a.kinds["said again"]++
	case dice < 30:
		l, err = a.flawed()
	default:
		l, err = a.sound()
	}
	if err != nil {
		return nil, err
	}
	a.judge(l)
	return l, nil
}

// sound makes up an event that is well-formed. Some come too early, for secrets that are
// yet to be made, and some too late.
func (a *author) sound() (*letter, error) {
	property := a.properties[a.random.IntN(len(a.properties))]
	which := fmt.Sprintf("%s/tenant %d", property, len(a.names))
	if len(a.names) > 0 && a.random.IntN(100) < 60 {
		which = a.names[a.random.IntN(len(a.names))]
	} else {
		a.names = append(a.names, which)
	}
	property, name, _ := strings.Cut(which, "/")
	typ := intake.TypeSecretCreated
	if dice := a.random.IntN(100); a.taken[which] && dice < 90 || dice < 10 {
		typ = intake.Types()[1+a.random.IntN(3)] // updated, deleted, retry
	}
	a.kinds[string(typ)]++
	return a.write(typ, property, name)
}

// write makes a letter of an event.
func (a *author) write(typ intake.Type, property, name string) (*letter, error) {
	e := intake.Event{
		ID: fmt.Sprintf("bench-%d", len(a.letters)+1), Source: upstreamSource, Org: api.DefaultOrg, Time: time.Now(),
	}
	which := intake.Which{Property: property, Name: name}
	var credentials intake.Credentials
	if err := credentials.Seal(a.keys, e.Org, sealing.AboutName(property, name), sealing.FieldToken, []byte("a token of "+name)); err != nil {
		return nil, err
	}
	switch typ {
	case intake.TypeSecretCreated:
		e.Data = intake.SecretCreated{Property: property, Name: name, TypeOf: "token", Credentials: credentials}
	case intake.TypeSecretUpdated:
		e.Data = intake.SecretUpdated{Which: which, Credentials: credentials}
	case intake.TypeSecretDeleted:
		e.Data = intake.SecretDeleted{Which: which}
	default:
		e.Data = intake.RetryRequested{Which: which}
	}
	subject, header, body, err := intake.Encode(e)
	if err != nil {
		return nil, err
	}
	l := &letter{id: e.ID, typ: typ, name: property + "/" + name, msg: &nats.Msg{Subject: subject, Header: nats.Header(header), Data: body}}
	a.letters = append(a.letters, l)
	return l, nil
}

// flawed makes up an event that is refused, whatever there is.
func (a *author) flawed() (*letter, error) {
	l, err := a.write(intake.TypeSecretCreated, a.properties[0], fmt.Sprintf("flawed %d", len(a.letters)))
	if err != nil {
		return nil, err
	}
	f := flaws()[a.random.IntN(len(flaws()))]
	l.flaw = &f
	f.spoil(a, l)
	a.kinds["flawed: "+f.what]++
	return l, nil
}

// judge settles what must become of a letter that is published now.
func (a *author) judge(l *letter) {
	v := a.verdicts[l.id]
	switch {
	case l.id == "":
		a.nameless++
		return
	case v == nil:
		v = new(verdict)
		a.verdicts[l.id] = v
	case v.accepted:
		return // and is answered as before
	}
	v.code, v.pointer = a.carryOut(l)
	if v.accepted = v.code == ""; !v.accepted {
		v.refused++
	}
}

// carryOut does on the model what a letter asks for.
func (a *author) carryOut(l *letter) (code, pointer string) {
	taken := a.taken[l.name]
	switch {
	case l.flaw != nil:
		return l.flaw.code, l.flaw.pointer
	case l.typ == intake.TypeSecretCreated && taken:
		return string(api.NotUnique), "/name"
	case l.typ == intake.TypeSecretCreated:
		a.taken[l.name] = true
		a.made++
	case !taken:
		return string(api.NotFound), "/name"
	case l.typ == intake.TypeSecretDeleted:
		delete(a.taken, l.name)
	}
	return "", ""
}

// flaws are the ways of being refused.
func flaws() []flaw {
	body := func(text string) func(*author, *letter) {
		return func(_ *author, l *letter) { l.msg.Data = []byte(text) }
	}
	header := func(name, value string) func(*author, *letter) {
		return func(_ *author, l *letter) { l.msg.Header[name] = []string{value} }
	}
	member := func(old, text string) func(*author, *letter) {
		return func(_ *author, l *letter) { l.msg.Data = []byte(strings.Replace(string(l.msg.Data), old, text, 1)) }
	}
	nameless := func(_ *author, l *letter) {
		l.msg.Header.Del(events.HeaderID)
		delete(l.msg.Header, events.HeaderID)
		l.id = ""
	}
	return []flaw{
		{"no JSON", "invalid-json", "", body("\x00\xff{{{")},
		{"cut off", "invalid-json", "", func(_ *author, l *letter) { l.msg.Data = l.msg.Data[:len(l.msg.Data)/2] }},
		{"nothing", "invalid-json", "", body("")},
		{"a list", "invalid-json", "", body(`[1,2,3]`)},
		{"deep", "invalid-json", "", body(strings.Repeat(`{"a":`, 20_000))},
		{"noise", "invalid-json", "", func(a *author, l *letter) {
			noise := make([]byte, 1+a.random.IntN(2000))
			for i := range noise {
				noise[i] = byte(a.random.Uint32())
			}
			l.msg.Data = append([]byte{0xff}, noise...)
		}},
		{"no id", "invalid-event", "", nameless},
		{"no time that is one", "invalid-event", "", header(events.HeaderTime, "yesterday")},
		{"of another version", "invalid-event", "", header(events.HeaderSpecVersion, "9.9")},
		{"of another type", "invalid-event", "", header(events.HeaderType, "com.example.Other")},
		{"of an unknown type", "invalid-event", "", func(_ *author, l *letter) {
			l.msg.Subject = intake.Subject(api.DefaultOrg, "SecretPolished", "key")
			l.msg.Header[events.HeaderType] = []string{intake.TypePrefix + "SecretPolished"}
		}},
		{"no name", "invalid-secret", "/name", member(`"name":`, `"game":`)},
		{"an unknown kind", "invalid-secret", "/type_of", member(`"type_of":"token"`, `"type_of":"carrier-pigeon"`)},
		{"about another secret", "invalid-secret", "", member(`"property":"PR`, `"property":"PR0000`)},
		{"another's property", "not-found", "/property", func(a *author, l *letter) {
			delete(l.msg.Header, events.HeaderSubject)
			member(`"property":"PR`, `"property":"PR0000`)(a, l)
		}},
		{"in plain text", "invalid-secret", "/credentials/token", func(_ *author, l *letter) {
			before, _, _ := strings.Cut(string(l.msg.Data), `"credentials"`)
			l.msg.Data = []byte(before + `"credentials":{"token":"` + canary + `"}}`)
		}},
		{"sealed to nobody", "invalid-secret", "/credentials/token", func(_ *author, l *letter) {
			before, _, _ := strings.Cut(string(l.msg.Data), `"credentials"`)
			l.msg.Data = []byte(before + `"credentials":{"token":{"sealed":"` + base64.StdEncoding.EncodeToString(make([]byte, 2000)) + `"}}}`)
		}},
	}
}
