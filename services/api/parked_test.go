package api_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// park parks a message about a secret and returns its id.
func (w *world) park(about, org string) string {
	return strconv.FormatUint(w.Parked.Park(work.Parked{Lane: "job", Secret: about, Org: org}), 10)
}

func (w *world) store() secret.Store { return secret.Store{State: w.State} }

// setAside makes a secret whose job was set aside.
func (w *world) setAside(t testing.TB) *secret.Secret {
	t.Helper()
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	return w.update(t, made.ID, func(s *secret.Secret) {
		if !s.Park(s.Decision, s.Plan().At) {
			t.Error("nothing is due")
		}
	})
}

func (w *world) update(t testing.TB, id string, change func(s *secret.Secret)) *secret.Secret {
	t.Helper()
	s, _, err := w.store().Update(t.Context(), id, func(s *secret.Secret) error { change(s); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) requeue(t testing.TB, id string) error {
	t.Helper()
	_, err := w.Service.ChangeParked(t.Context(), apitest.Caller(), id, document(t, `{"data":{"meta":{"action":"requeue"}}}`))
	return err
}

// TestRequeue: what comes into the lane is made from the record, whatever was
// parked.
func TestRequeue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	id := w.park(made.ID, "")
	if err := w.requeue(t, id); err != nil {
		t.Fatal(err)
	}
	want := []events.Event{{
		Source: "/rekindle/api", Org: api.DefaultOrg,
		Data: events.RefreshDue{Secret: made.ID, Action: "exchange", Decision: made.Decision, DueAt: made.Plan().At},
	}}
	got := w.Parked.Jobs()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(events.Event{}, "ID", "Time")); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if _, _, err := events.Encode(got[0]); err != nil {
		t.Error(err)
	}
	if err := w.requeue(t, id); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("once more: %v, want ErrNotFound", err)
	}
	if _, err := w.Service.ParkedMessage(t.Context(), apitest.Caller(), id); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the message is still there: %v", err)
	}
}

// TestRequeueOfADeletedSecret: what is left of it has to be erased, and it may be
// the job for that which was parked.
func TestRequeueOfADeletedSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.requeue(t, w.park(made.ID, api.DefaultOrg)); err != nil {
		t.Fatal(err)
	}
	if job := w.Parked.Jobs()[0].Data.(events.RefreshDue); job.Action != string(secret.Erase) {
		t.Errorf("the job is to %s", job.Action)
	}
}

// TestSetAsideNoMore: what a parked job kept from the scheduler it may offer again,
// whatever a person does with the message; but not what was parked since.
func TestSetAsideNoMore(t *testing.T) {
	t.Parallel()
	acts := map[string]func(w *world, id string) error{
		"requeue": func(w *world, id string) error { return w.requeue(t, id) },
		"discard": func(w *world, id string) error { return w.Service.DiscardParked(t.Context(), apitest.Caller(), id) },
	}
	for name, act := range acts {
		for _, later := range []bool{false, true} {
			w := newWorld(t)
			made := w.setAside(t)
			if later {
				w.update(t, made.ID, func(s *secret.Secret) { s.Parked.At = s.Parked.At.Add(24 * time.Hour) })
			}
			if err := act(w, w.park(made.ID, "")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s, _, err := w.store().Get(t.Context(), made.ID); err != nil || s.SetAside() != later {
				t.Errorf("%s, parked later: %t: set aside is %t, %v", name, later, s.SetAside(), err)
			}
		}
	}
}

// TestDiscardOneOfSeveral: discarding a message offers nothing again of which another
// is still parked, whichever of them goes first; and one about another secret, or from
// another lane, holds nothing.
func TestDiscardOneOfSeveral(t *testing.T) {
	t.Parallel()
	for _, last := range []int{0, 1} {
		w := newWorld(t)
		s := w.setAside(t)
		w.park(secret.NewID(secret.PrefixSecret), "")
		w.Parked.Park(work.Parked{Lane: "intake", Secret: s.ID})
		ids := []string{w.park(s.ID, ""), w.park(s.ID, "")}
		for i, id := range []string{ids[1-last], ids[last]} {
			if err := w.Service.DiscardParked(t.Context(), apitest.Caller(), id); err != nil {
				t.Fatal(err)
			}
			if s, _, err := w.store().Get(t.Context(), s.ID); err != nil || s.SetAside() != (i == 0) {
				t.Errorf("with %s last: %d are discarded, set aside is %t, %v", ids[last], i+1, s.SetAside(), err)
			}
		}
	}
}

// TestDiscardTheLastTwo: two people do, and each finds the other's message there.
func TestDiscardTheLastTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.setAside(t)
	mine, theirs := w.park(s.ID, ""), w.park(s.ID, "")
	w.Parked.BeforeDiscard(func() {
		if err := w.Service.DiscardParked(t.Context(), apitest.Caller(), theirs); err != nil {
			t.Error(err)
		}
	})
	if err := w.Service.DiscardParked(t.Context(), apitest.Caller(), mine); err != nil {
		t.Fatal(err)
	}
	if s, _, err := w.store().Get(t.Context(), s.ID); err != nil || s.SetAside() {
		t.Errorf("nothing is parked any more, and the secret is set aside: %t, %v", s.SetAside(), err)
	}
}

// TestRequeueRefused: the message stays when there is no job of it.
func TestRequeueRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	if err := w.requeue(t, w.park(made.ID, "")); err != nil {
		t.Fatal(err)
	}
	other := func(lane, kind string) string {
		return strconv.FormatUint(w.Parked.Park(work.Parked{Lane: lane, Secret: made.ID, Type: kind}), 10)
	}
	for id, want := range map[string]struct {
		code api.Code
		why  string
	}{
		w.park(made.ID, ""):                           {api.Conflict, "the secret has a job already"},
		w.park(secret.NewID(secret.PrefixSecret), ""): {api.InvalidAction, "the secret of the message is gone"},
		w.park("a.b", ""):                             {api.InvalidAction, "what the message is about is no secret"},
		w.park("", ""):                                {api.InvalidAction, "what the message is about is no secret"},
		other("intake", ""):                           {api.InvalidAction, `from the lane "intake", and only jobs can be requeued`},
		other("job", "TestRequested"):                 {api.InvalidAction, "asks for a test, whose answer nobody waits for"},
	} {
		if err := w.requeue(t, id); code(err) != want.code || !strings.Contains(err.Error(), want.why) {
			t.Errorf("message %s: %v, want %s: %s", id, err, want.code, want.why)
		}
		if _, err := w.Service.ParkedMessage(t.Context(), apitest.Caller(), id); err != nil {
			t.Errorf("message %s is gone: %v", id, err)
		}
	}
	if n := len(w.Parked.Jobs()); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}

// TestOwners: each organisation sees what is about its own secrets, whatever a
// message says of itself, and the deployment what is nobody's.
func TestOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const other = "OTHER@TestOrg"
	apitest.Start(t, w.State, api.Config{Org: other})
	mine := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s")) // by now the other one is known
	gone := secret.NewID(secret.PrefixSecret)
	for _, m := range []struct{ about, org, owner string }{
		{mine.ID, "", api.DefaultOrg},
		{mine.ID, api.DefaultOrg, api.DefaultOrg},
		{mine.ID, other, api.DefaultOrg},
		{gone, other, other},
		{gone, api.DefaultOrg, api.DefaultOrg},
		{gone, "", api.DefaultOrg},
		{gone, "NOBODY@TestOrg", api.DefaultOrg},
		{"x", "", api.DefaultOrg},
	} {
		id := w.park(m.about, m.org)
		for _, org := range []string{api.DefaultOrg, other, "NOBODY@TestOrg", ""} {
			who := api.Caller{Org: org}
			_, err := w.Service.ParkedMessage(t.Context(), who, id)
			page, listErr := w.Service.ParkedMessages(t.Context(), who, everything[*work.Parked]())
			if listErr != nil {
				t.Fatal(listErr)
			}
			sees := org == m.owner
			if sees != (err == nil) || !sees && !errors.Is(err, api.ErrNotFound) || sees != (page.Total == 1) {
				t.Errorf("%+v: %q gets %v and a list of %d", m, org, err, page.Total)
			}
			if !sees {
				if err := w.Service.DiscardParked(t.Context(), who, id); !errors.Is(err, api.ErrNotFound) {
					t.Errorf("%+v: %q discards it: %v", m, org, err)
				}
			}
		}
		if err := w.Service.DiscardParked(t.Context(), api.Caller{Org: m.owner}, id); err != nil {
			t.Fatal(err)
		}
	}
}

// offering offers through and then breaks what keeps the messages, as a process
// does that dies in between.
type offering struct{ *apitest.Parked }

func (o offering) Offer(ctx context.Context, job events.Event) (bool, error) {
	defer o.Break(errors.New("gone"))
	return o.Parked.Offer(ctx, job)
}

// TestRequeueCutShort: a requeue that ended in between is requeued again.
func TestRequeueCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	id := w.park(made.ID, "")
	cut := api.New(api.Config{}, api.Deps{
		State: w.State, Events: w.Events, Parked: w.Parked, Jobs: offering{w.Parked},
		Logger: w.Log.Logger(), Metrics: prometheus.NewRegistry(),
	})
	data := document(t, `{"data":{"meta":{"action":"requeue"}}}`)
	if _, err := cut.ChangeParked(t.Context(), apitest.Caller(), id, data); !errors.Is(err, api.ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	if err := w.Service.DiscardParked(t.Context(), apitest.Caller(), id); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("discard: %v", err)
	}
	if _, err := w.Service.ParkedMessages(t.Context(), apitest.Caller(), everything[*work.Parked]()); !errors.Is(err, api.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	w.Parked.Break(nil)
	if err := w.requeue(t, id); code(err) != api.Conflict {
		t.Errorf("the job is not there: %v", err)
	}
	if err := w.Service.DiscardParked(t.Context(), apitest.Caller(), id); err != nil {
		t.Errorf("the message is not there: %v", err)
	}
}

// overtaken is asked for a job when somebody else has requeued the message already.
type overtaken struct {
	*apitest.Parked
	requeue func()
}

func (o overtaken) Offer(ctx context.Context, job events.Event) (bool, error) {
	o.requeue()
	return o.Parked.Offer(ctx, job)
}

// TestRequeueTwice: of two who requeue a message at the same moment, one does, and
// the other hears that it is gone. It has one job.
func TestRequeueTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	id := w.park(made.ID, "")
	late := api.New(api.Config{}, api.Deps{
		State: w.State, Events: w.Events, Parked: w.Parked, Logger: w.Log.Logger(), Metrics: prometheus.NewRegistry(),
		Jobs: overtaken{w.Parked, func() {
			if err := w.requeue(t, id); err != nil {
				t.Error(err)
			}
		}},
	})
	_, err := late.ChangeParked(t.Context(), apitest.Caller(), id, document(t, `{"data":{"meta":{"action":"requeue"}}}`))
	if !errors.Is(err, api.ErrNotFound) {
		t.Errorf("the second gets %v, want ErrNotFound", err)
	}
	if n := len(w.Parked.Jobs()); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}

func TestNothingParksHere(t *testing.T) {
	t.Parallel()
	s := api.New(api.Config{}, api.Deps{State: statetest.New(), Metrics: prometheus.NewRegistry()})
	if _, err := s.ParkedMessages(t.Context(), apitest.Caller(), everything[*work.Parked]()); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("list: %v", err)
	}
	if err := s.DiscardParked(t.Context(), apitest.Caller(), "1"); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("discard: %v", err)
	}
}
