package api_test

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// outboxOf waits until holds is true of what is in the outbox.
func outboxOf(t *testing.T, st state.Store, holds func(entries map[string]audit.Entry) bool) {
	t.Helper()
	apitest.Watch(t, st, state.OutboxKey("*"), func(records map[string][]byte) bool {
		entries := map[string]audit.Entry{}
		for key, body := range records {
			var parcel struct{ Entry audit.Entry }
			if err := json.Unmarshal(body, &parcel); err != nil {
				t.Error(err)
			}
			entries[key] = parcel.Entry
		}
		return holds(entries)
	})
}

// empty is true of an outbox in which nothing is left.
func empty(entries map[string]audit.Entry) bool { return len(entries) == 0 }

// TestEveryCommitIsTold lets the state itself be the witness: there is no commit of a use
// case without a message in the outbox that says who did what.
func TestEveryCommitIsTold(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty := statetest.NewFaulty(inner)
	w := &world{Process: apitest.Start(t, faulty, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	environments, made := w.grow(t, w.property.ID, 3)
	for _, s := range made[:2] {
		if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Service.DeleteEnvironment(t.Context(), apitest.Caller(), environments[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := w.Service.DeleteProperty(t.Context(), apitest.Caller(), w.property.ID); err != nil {
		t.Fatal(err)
	}
	settled(t, inner, w.property.ID, 3)
	outboxOf(t, inner, empty)
	for _, keys := range faulty.Commits() {
		switch kind, _ := state.Split(keys[0]); kind {
		case "outbox":
		case "note", "notes": // which go with what they are on
		default:
			t.Errorf("a commit of %v tells nobody", keys)
		}
	}
}

// TestWhatACrashLeavesIsTold stops the world when a change is made and before it is told:
// another process tells it, once it has waited for the first.
func TestWhatACrashLeavesIsTold(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty := statetest.NewFaulty(inner)
	w := &world{Process: apitest.Start(t, faulty, api.Config{})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	outboxOf(t, inner, empty)
	faulty.Crash(len(faulty.Commits())+1, statetest.After)
	if _, err := newToken(t, w.Service, w.property.ID, "", "left"); err == nil {
		t.Fatal("the crash was not noticed")
	}
	w.Stop()

	var now atomic.Int64
	began := time.Now()
	clock := func() time.Time { return began.Add(time.Duration(now.Load())) }
	after := apitest.StartWith(t, api.Config{}, api.Deps{State: inner, Now: clock})
	outboxOf(t, inner, func(entries map[string]audit.Entry) bool {
		for _, e := range entries {
			if e.Type() != "secret.created" || e.Email != apitest.Caller().Actor.Email || e.Entity.Name != "left" {
				t.Errorf("%s by %s of %s is left", e.Type(), e.Email, e.Entity.Name)
			}
		}
		return len(entries) == 1
	})
	if said := after.Events.Published(); len(said) > 0 {
		t.Errorf("%d events were published before the other process had its time", len(said))
	}
	now.Store(int64(time.Minute))
	outboxOf(t, inner, empty)
	said := after.Events.Published()
	if len(said) != 1 || said[0].Data.Type() != events.TypeSecretCreated || !strings.HasSuffix(said[0].ID, ".created") {
		t.Errorf("published %v", said)
	}
}

// TestWhatCannotBeSaidYetIsSaidLater: an event log that is away holds up no change, and
// what is in front of the outbox holds up nothing behind it.
func TestWhatCannotBeSaidYetIsSaidLater(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	var now atomic.Int64
	began := time.Now()
	w := &world{Process: apitest.StartWith(t, api.Config{}, api.Deps{
		State: st, Now: func() time.Time { return began.Add(time.Duration(now.Load())) },
	})}
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	outboxOf(t, st, empty)
	if _, err := st.Commit(t.Context(), state.Write{Key: state.OutboxKey("damaged"), Value: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	w.Events.Break(context.DeadlineExceeded)
	must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	w.Log.Await(t, "an event could not be published yet")
	w.Events.Break(nil)
	now.Store(int64(time.Minute))
	apitest.Watch(t, st, state.OutboxKey("*"), func(records map[string][]byte) bool {
		return len(records) == 1 && records[state.OutboxKey("damaged")] != nil
	})
	if said := w.Events.Published(); len(said) != 1 || said[0].Data.Type() != events.TypeSecretCreated {
		t.Errorf("published %v", said)
	}
}

// TestWhatALaterVersionSays: what another version of the program has left in the outbox is
// told as it was written, of a type that this one does not know.
func TestWhatALaterVersionSays(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	const body = `{"secret":"SE1","later":[1]}`
	h := events.Attributes{ID: "SE1.forgotten", Source: "/rekindle/api", Type: events.TypePrefix + "SecretForgotten", Subject: "SE1"}.Header()
	entry := audit.Entry{ID: audit.NewID("o", "1", time.Now()), At: time.Now(), Resource: "secret", Verb: "forgotten"}
	left, err := json.Marshal(map[string]any{
		"org": "o", "events": []any{map[string]any{"header": h, "body": json.RawMessage(body)}}, "entry": entry,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Commit(t.Context(), state.Write{Key: state.OutboxKey("later"), Value: left}); err != nil {
		t.Fatal(err)
	}
	var now atomic.Int64
	began := time.Now()
	w := apitest.StartWith(t, api.Config{}, api.Deps{State: st, Now: func() time.Time { return began.Add(time.Duration(now.Load())) }})
	now.Store(int64(time.Minute))
	outboxOf(t, st, empty)
	if said := w.Events.Unknown(); len(said) != 1 || string(said[0]) != body {
		t.Errorf("published %q", said)
	}
}

// TestNoOtherWayToWrite reads the package: its state is changed in outbox.go, relay.go and
// by what is named here, and nowhere else.
func TestNoOtherWayToWrite(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{
		"outbox.go": true, "relay.go": true,
		"parked.go":  true, // unpark, which is part of what is told
		"service.go": true, // the secrets, to be read
	}
	quiet := map[string]bool{
		"commit.go": true, // erase: what goes with something of which is told; amendQuietly: when a token was used
		"memory.go": true, // Refuse and settle: an event that is refused, or had nothing to do, changes nothing
		"hosts.go":  true, // record: what was implied gets a record, and nothing changes
	}
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || allowed[name] {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.SelectorExpr); ok && n.Sel.Name == "Commit" && of.Sel.Name == "State" {
					t.Errorf("%s commits to the state beside Service.write", name)
				}
				if n.Sel.Name == "quietly" && !quiet[name] {
					t.Errorf("%s commits what is not told", name)
				}
			case *ast.CompositeLit:
				if of, ok := n.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Store" {
					t.Errorf("%s has a store of its own beside Service.telling", name)
				}
			}
			return true
		})
	}
}
