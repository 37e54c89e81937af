package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

// exporter is an Exporter of the world, and what opens its rows.
func (w *world) exporter(edits ...func(*ExportDeps)) (*Exporter, *transfer.Opener) {
	w.t.Helper()
	there := newRing(w.t, w.now())
	to, err := transfer.NewRecipient(there.Keyset())
	if err != nil {
		w.t.Fatal(err)
	}
	d := ExportDeps{State: w.store, Events: w.events, Keyring: w.ring, To: to, HandOver: true, By: "ada", Now: w.now}
	for _, edit := range edits {
		edit(&d)
	}
	return NewExporter(d), transfer.NewOpener(there)
}

// exported runs an export and returns the rows by name, opened.
func (w *world) exported(e *Exporter, o *transfer.Opener) map[string]Exported {
	w.t.Helper()
	rows := map[string]Exported{}
	err := e.Run(context.Background(), func(x Exported) error {
		body, err := json.Marshal(x.Row)
		if err != nil {
			return err
		}
		for _, planted := range []string{plantedToken, plantedPassword, plantedSecret, plantedPrefix} {
			if strings.Contains(string(body), planted) {
				w.t.Errorf("%s shows %s", x.Row, planted)
			}
		}
		rows[x.Name] = x
		return o.Open(&x.Row)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// current is the refresh token in use, opened.
func (w *world) current(id string) string {
	w.t.Helper()
	use := w.grant(id).Consent
	p, err := seal.NewOpener(w.ring).Open(seal.Binding{Secret: id, Field: secret.FieldRefreshToken, Generation: use.Generation}, use.Sealed)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(p.Reveal())
}

// Every kind is exported, with a trace in the ledger, and what is hidden is sealed.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	basic, token := w.create(secret.SimpleHTTP), w.create(secret.Token)
	moved := w.imported(strict())
	e, o := w.exporter(func(d *ExportDeps) { d.HandOver = false })
	rows := w.exported(e, o)
	for _, tt := range []struct{ name, member, want string }{
		{basic.Name, "password", plantedPassword}, {token.Name, "token", plantedToken},
	} {
		if got := string(rows[tt.name].Credentials[tt.member]); got != `"`+tt.want+`"` {
			t.Errorf("%s of %s: %s", tt.member, tt.name, got)
		}
	}
	grant := rows[moved.Name].Grant
	if len(grant["refresh_token"]) < 10 || string(grant["account_fingerprint"]) != `"`+secret.Account(acme, alice)+`"` || len(grant["reauthorize_by"]) == 0 {
		t.Errorf("the consent that was never used has %d members", len(grant))
	}
	for _, s := range []*secret.Secret{basic, token, moved} {
		if !w.secret(s.ID).Elsewhere.IsZero() {
			t.Errorf("%s was handed over, though nobody said so", s.ID)
		}
		told := w.events.about(s.ID)
		last, ok := told[len(told)-1].Data.(events.SecretExported)
		if !ok || last.By != "ada" || last.Recipient != e.To.Key || last.HandedOver {
			t.Errorf("in the ledger: %+v", told[len(told)-1].Data)
		}
	}
}

// A hand-over waits for the exchange that is under way, and exports what that
// brings: the token that it replaced is of no use to anybody.
func TestHandOverWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	before := w.current(s.ID)
	h := w.hold(s)
	e, o := w.exporter(func(d *ExportDeps) {
		d.State = &lookedAt{Store: w.store, key: state.GrantKey(s.ID), more: 1, then: func() {
			if err := h.release(); err != nil {
				t.Error(err)
			}
		}}
	})
	got := string(w.exported(e, o)[s.Name].Grant["refresh_token"])
	if got != `"`+w.current(s.ID)+`"` || got == `"`+before+`"` {
		t.Error("the row has not the refresh token that the exchange brought")
	}
	w.wantRequests(s.ID, 2)
	w.checkRefreshable(s.ID)
}

// lookedAt lets something happen after a record was read for the first time, or
// after so many times more.
type lookedAt struct {
	state.Store
	key  string
	more int
	then func()
}

func (l *lookedAt) Get(ctx context.Context, key string) ([]byte, state.Revision, error) {
	body, rev, err := l.Store.Get(ctx, key)
	if then := l.then; key == l.key && then != nil {
		if l.more--; l.more < 0 {
			l.then = nil
			then()
		}
	}
	return body, rev, err
}

// An exchanger that planned an exchange before the hand-over comes too late: it
// sends nothing.
func TestHandOverFencesPlans(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(w *world) *secret.Secret{
		"refreshed before": func(w *world) *secret.Secret { return w.rotating(strict()) },
		"never exchanged":  func(w *world) *secret.Secret { return w.imported(strict()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s := prepare(w)
			e, o := w.exporter()
			sent := w.presented(s.ID)
			var row Exported
			late := &lookedAt{Store: w.store, key: state.SecretKey(s.ID), then: func() { row = w.exported(e, o)[s.Name] }}
			w.run(w.exchanger(using(late)), w.job(s.ID))
			if late.then != nil || len(row.Grant["refresh_token"]) == 0 || row.Doubt != "" {
				t.Fatalf("exported: %v, doubt %q", row.Row, row.Doubt)
			}
			if got := w.presented(s.ID); len(got) != len(sent) || got[len(got)-1] != 0 {
				t.Errorf("the refresh tokens were presented %v times, %v before", got, sent)
			}
		})
	}
}

// Of a grant whose last answer was lost the row says so, and the exchanger that
// was thought dead changes nothing any more.
func TestHandOverOfWhatWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.rotating(strict())
	w.dies(s.ID, 2)
	e, o := w.exporter()
	if row := w.exported(e, o)[s.Name]; row.Doubt == "" {
		t.Error("nothing is said of the answer that was lost")
	}
	if c := w.grant(s.ID).Claim; c == nil || !c.Until.IsZero() {
		t.Errorf("the claim is not over: %s", show(c))
	}
}

// silent is an event log that takes nothing.
type silent struct{}

func (silent) Publish(context.Context, events.Event) error { return errors.New("no log") }

// What cannot be put into the ledger is not read by anybody.
func TestExportIsAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(secret.Token)
	e, _ := w.exporter(func(d *ExportDeps) { d.Events = silent{} })
	if err := e.Run(t.Context(), func(Exported) error { t.Error("a row was written"); return nil }); err == nil {
		t.Error("there is no error")
	}
}
