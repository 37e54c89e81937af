package intake_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	upstream "github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// TestCrashes lets the process die before and after each effect that an event has, has
// another process go on, and wants the same in the end as without a crash: the secrets, one
// answer among the facts, what is refused erased, and somebody told who waits.
func TestCrashes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		typ     upstream.Type
		body    string // PR stands for the property
		effects string
		names   []string // of the secrets in the end; "there" was there before
		refused bool
	}{
		{
			"create", upstream.TypeSecretCreated, `{"property":"PR","name":"new","type_of":"oauth2-acme"}`,
			"commit, publish SecretCreated, publish Accepted, reply, ack",
			[]string{"there", "new"},
			false,
		},
		{
			"rename", upstream.TypeSecretUpdated, `{"property":"PR","name":"there","new_name":"renamed"}`,
			"commit, publish SecretUpdated, publish Accepted, reply, ack",
			[]string{"renamed"},
			false,
		},
		{
			"delete", upstream.TypeSecretDeleted, `{"property":"PR","name":"there"}`,
			"commit, publish SecretDeleted, publish Accepted, reply, ack", nil, false,
		},
		{
			"reauthorize", upstream.TypeReauthorizeRequested, `{"property":"PR","name":"there"}`,
			"commit, publish ReauthorizeRequested, publish Accepted, reply, ack",
			[]string{"there"},
			false,
		},
		{
			"taken", upstream.TypeSecretCreated, `{"property":"PR","name":"there","type_of":"oauth2-acme"}`,
			"commit, commit, publish Rejected, erase, reply, ack",
			[]string{"there"},
			true, // the first of which fails
		},
		{
			"plain text", upstream.TypeSecretCreated, `{"property":"PR","name":"x","type_of":"token","credentials":{"token":"hunter2"}}`,
			"commit, publish Rejected, erase, reply, ack",
			[]string{"there"},
			true,
		},
	}
	for _, tt := range tests {
		effects := strings.Split(tt.effects, ", ")
		for at := range len(effects) + 1 {
			for _, after := range []bool{false, true} {
				when := "no crash"
				if at > 0 {
					when = fmt.Sprintf("%d %s %v", at, effects[at-1], after)
				}
				t.Run(tt.name+"/"+when, func(t *testing.T) {
					t.Parallel()
					c := crash(t, tt.typ, tt.body, &fate{at: at, after: after, dead: make(chan struct{})})
					if want := effects[:cmp.Or(at, len(effects))]; !slices.Equal(want, c.taken) {
						t.Errorf("the effects were %q, want %q", c.taken, want)
					}
					c.check(t, tt.names, tt.refused)
				})
			}
		}
	}
}

// crashed is what is left when the second process is done.
type crashed struct {
	*site
	taken []string // the effects of the first process
	place uint64
}

func crash(t *testing.T, typ upstream.Type, body string, f *fate) *crashed {
	t.Helper()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	said := new(apitest.Events)
	first := start(t, st, newQueue(), wiring{fate: f, events: said})
	first.plant(t)
	first.queue.put(letter(upstream.TypeSecretCreated, "before", first.create("there")))
	first.queue.settled(t)
	f.arm()
	place := first.queue.put(letter(typ, "the event", strings.ReplaceAll(body, "PR", first.property)))
	if f.at > 0 {
		<-f.dead
	} else {
		first.queue.settled(t)
	}
	first.Stop()
	var ahead atomic.Int64
	second := start(t, st, first.queue, wiring{events: said, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	second.property = first.property
	second.queue.stir()
	second.queue.settled(t)
	if len(second.answers()["the event"]) == 0 {
		ahead.Store(int64(time.Minute)) // what the first has left in the outbox is the second's now
		apitest.Watch(t, st, state.OutboxKey("*"), func(records map[string][]byte) bool { return len(records) == 0 })
	}
	return &crashed{site: second, taken: f.taken, place: place}
}

func (c *crashed) check(t *testing.T, names []string, refused bool) {
	t.Helper()
	found := c.secrets(t)
	for _, name := range names {
		if found[name] == "" {
			t.Errorf("there is no secret %s", name)
		}
	}
	if len(found) != len(names) {
		t.Errorf("the secrets are %v", found)
	}
	answers := c.answers()["the event"]
	if len(answers) != 1 {
		t.Fatalf("%d answers among the facts: %v", len(answers), answers)
	}
	// What comes again after a crash is erased, whatever became of it.
	if _, wrong := answers[0].(events.Rejected); wrong != refused || refused && !c.queue.erased[c.place] {
		t.Errorf("the answer is %#v, and it is erased: %v", answers[0], c.queue.erased[c.place])
	}
	if len(c.queue.letters) > 0 {
		t.Errorf("something is left in the queue")
	}
	replied := 0
	for _, r := range c.queue.replies {
		if r.Data.About() == "the event" {
			replied++
		}
	}
	// A letter that is erased is not handed over again: who waits finds the answer among
	// the facts.
	last := c.taken[len(c.taken)-1]
	lost := refused && (last == "erase" || last == "reply")
	if replied == 0 && !lost || replied > 2 {
		t.Errorf("there were %d replies", replied)
	}
}
