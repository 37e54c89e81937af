package scheduler

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

func TestOrdinals(t *testing.T) {
	t.Parallel()
	for action, want := range map[secret.Action]uint8{
		secret.Rest: rest, secret.Exchange: exchange, secret.Refresh: refresh, secret.Withdraw: withdraw,
		secret.Erase: erase, "an action of tomorrow": rest,
	} {
		if got := ordinal(actions(), action); got != want {
			t.Errorf("%s is action %d, want %d", action, got, want)
		}
	}
	for _, k := range secret.Kinds() {
		if label(kinds(), ordinal(kinds(), k.Canonical()), "other") != string(k.Canonical()) {
			t.Errorf("kind %s has no label", k)
		}
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for range 100 {
		id := secret.NewID(secret.PrefixSecret)
		if u, ok := parseID(id); !ok || u.String() != id {
			t.Fatalf("%s became %v", id, u)
		}
	}
}

// Whatever a change holds, it is indexed or left out, and never ends the program.
func FuzzApply(f *testing.F) {
	const id = "SE3c9d1f7ab2e84d6f8a50c7e1b4d2f903"
	f.Add(state.SecretKey(id), []byte(`{"id":"`+id+`","org":"acme","kind":"oauth2","status":"succeeded","environment":"EN1","deployed":"EN1",`+
		`"decision":8,"next_attempt_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-02T07:04:05Z","trace":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`))
	f.Add(state.SecretKey(id), []byte(`{"id":"`+id+`","deleted_at":"9999-12-31T23:59:59Z","member of tomorrow":[]}`))
	f.Add(state.SecretKey(id), []byte(`{"id":"SE00000000000000000000000000000000"}`))
	f.Add(state.SecretKey(id), []byte(`null`))
	f.Add(state.SecretKey("SE"), []byte(nil))
	f.Add("secret", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		s := alone(Deps{})
		s.apply(state.Change{Key: key, Value: value})
		s.tally()
		var want secret.Secret
		_, name := state.Split(key)
		u, valid := parseID(name)
		valid = valid && value != nil && json.Unmarshal(value, &want) == nil && want.ID == name
		slot, known := s.lanes.x.slots[u]
		if known != valid || len(s.lanes.x.slots) > 1 {
			t.Fatalf("known: %v, want %v, of %d secrets", known, valid, len(s.lanes.x.slots))
		}
		if !known {
			return
		}
		next, _ := nextOf(&want)
		e := s.lanes.x.entry(slot)
		if e.action != ordinal(actions(), next.Action) || e.decision != want.Decision || e.queued() != (next.Action != secret.Rest) {
			t.Errorf("indexed %+v for %+v", e.plan, next)
		}
		if e.queued() && e.due != next.At.UnixMilli() {
			t.Errorf("due at %d, want %d", e.due, next.At.UnixMilli())
		}
		s.apply(state.Change{Key: key})
		if len(s.lanes.x.slots) != 0 {
			t.Error("still known after it was removed")
		}
	})
}

// A replay within a grace is offered when it is due, whatever its provider asked for.
func TestReplaysWaitForNobody(t *testing.T) {
	t.Parallel()
	now := time.Now()
	health := endpoint.Health{Host: "acme"}
	health.Wait(0, now, time.Hour)
	paused, err := json.Marshal(&health)
	if err != nil {
		t.Fatal(err)
	}
	for replays, want := range map[time.Duration]bool{0: true, time.Second: false} {
		s := alone(Deps{})
		s.applyHealth(state.Change{Key: state.EndpointKey("acme"), Value: paused})
		record := secret.Secret{
			ID: secret.NewID(secret.PrefixSecret), Kind: "oauth2-acme", Status: secret.Succeeded, Environment: "EN1", Deployed: "EN1",
			Decision: 3, NextAttemptAt: now, ReplayAt: now.Add(replays),
		}
		value, err := json.Marshal(&record)
		if err != nil {
			t.Fatal(err)
		}
		s.apply(state.Change{Key: state.SecretKey(record.ID), Value: value})
		if e, _ := s.next(); (e != nil) != want {
			t.Errorf("offered: %t, want %t", e != nil, want)
		}
	}
}

func (e *entry) queued() bool { return e.place >= 0 }
