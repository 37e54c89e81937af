package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// rotation is the life of a keyring: founded, a key prepared, activated, and the
// old one pruned.
type rotation struct{ founded, prepared, activated, pruned *seal.Keyring }

func rotate(w *world) rotation {
	w.t.Helper()
	r := rotation{founded: newRing(w.t, w.now())}
	var next seal.KeyID
	var err error
	if r.prepared, next, err = r.founded.Prepare(w.now()); err != nil {
		w.t.Fatal(err)
	}
	if r.activated, err = r.prepared.Activate(next); err != nil {
		w.t.Fatal(err)
	}
	if r.pruned, err = r.activated.Prune(r.founded.Keyset().Primary()); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// Of all keyrings of one line, the fleet's keyset is that of the one which is
// ahead, in whatever order exchangers start.
func TestPublishKeyset(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t)
	r := rotate(w)
	foreign := newRing(t, w.now())
	for _, tt := range []struct {
		name       string
		fleet, own *seal.Keyring
		want       *seal.Keyring // the fleet's, afterwards
		err        error
	}{
		{"founder", nil, r.founded, r.founded, nil},
		{"the same", r.founded, r.founded, r.founded, nil},
		{"a key prepared", r.founded, r.prepared, r.prepared, nil},
		{"a key activated", r.prepared, r.activated, r.activated, nil},
		{"prepared and activated at once", r.founded, r.activated, r.activated, nil},
		{"a key pruned", r.activated, r.pruned, r.activated, nil},
		{"from before a key was prepared", r.prepared, r.founded, r.prepared, nil},
		{"from before a key was activated", r.activated, r.prepared, r.activated, nil},
		{"from before a key was pruned", r.pruned, r.prepared, r.pruned, nil},
		{"without the primary", r.activated, r.founded, r.activated, ErrForeignKeyset},
		{"of another fleet", r.founded, foreign, r.founded, ErrForeignKeyset},
		{"activated after it was pruned", r.founded, r.pruned, r.founded, ErrForeignKeyset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := statetest.New()
			if tt.fleet != nil {
				if err := publishKeyset(t.Context(), st, tt.fleet.Keyset()); err != nil {
					t.Fatal(err)
				}
			}
			if err := publishKeyset(t.Context(), st, tt.own.Keyset()); !errors.Is(err, tt.err) {
				t.Errorf("error is %v, want %v", err, tt.err)
			}
			if got := fleetKeyset(t, st); got.Fingerprint() != tt.want.Keyset().Fingerprint() {
				t.Errorf("the fleet's keys are %v", got.Keys())
			}
		})
	}
}

func fleetKeyset(t *testing.T, st state.Store) (set seal.Keyset) {
	t.Helper()
	body, _, err := st.Get(t.Context(), state.KeysetKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

// However exchangers with different stages of one rotation start at the same
// time, the last stage wins.
func TestPublishKeysetTogether(t *testing.T) {
	t.Parallel()
	r := rotate(newWorldOf(t))
	for range 32 {
		st := statetest.New()
		if err := publishKeyset(t.Context(), st, r.founded.Keyset()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, ring := range []*seal.Keyring{r.prepared, r.activated, r.prepared, r.activated} {
			all.Go(func() {
				if err := publishKeyset(context.Background(), st, ring.Keyset()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := fleetKeyset(t, st); got.Fingerprint() != r.activated.Keyset().Fingerprint() {
			t.Fatalf("the fleet's keys are %v", got.Keys())
		}
	}
}

// Of two founders with different keyrings one founds the fleet, and the other
// is refused.
func TestTwoFounders(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t)
	rings := []*seal.Keyring{newRing(t, w.now()), newRing(t, w.now())}
	for range 32 {
		st := statetest.New()
		errs := make([]error, len(rings))
		var both sync.WaitGroup
		for i, ring := range rings {
			both.Go(func() { errs[i] = publishKeyset(context.Background(), st, ring.Keyset()) })
		}
		both.Wait()
		winner := slices.Index(errs, nil)
		if winner < 0 || !errors.Is(errs[1-winner], ErrForeignKeyset) {
			t.Fatalf("errors are %v", errs)
		}
		if got := fleetKeyset(t, st); got.Fingerprint() != rings[winner].Keyset().Fingerprint() {
			t.Fatal("the fleet has the keys of the one that was refused")
		}
	}
}

// An answer that is lost, and a record that cannot be read, end the start.
func TestPublishKeysetFails(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t)
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		st := statetest.NewFaulty(statetest.New())
		st.FailCommit(1, when)
		if err := publishKeyset(t.Context(), st, w.ring.Keyset()); !errors.Is(err, statetest.ErrFault) {
			t.Errorf("%v: error is %v", when, err)
		}
		if err := publishKeyset(t.Context(), st, w.ring.Keyset()); err != nil {
			t.Errorf("%v, started again: %v", when, err)
		}
	}
	st := statetest.New()
	if _, err := st.Commit(t.Context(), state.Write{Key: state.KeysetKey, Value: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if err := publishKeyset(t.Context(), st, w.ring.Keyset()); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("error is %v", err)
	}
}

// jobs is a queue that notes how it is worked on.
type jobs struct {
	ctx, hard context.Context
	workers   int
}

func (j *jobs) Work(ctx, hard context.Context, workers int, handle, _ work.Handler) error {
	j.ctx, j.hard, j.workers = ctx, hard, workers
	return handle(hard, work.Message{})
}

func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t)
	hard, stop := context.WithCancel(t.Context())
	defer stop()
	start := func(ring *seal.Keyring) (ready bool, queue *jobs, err error) {
		w.useRing(ring)
		queue = &jobs{}
		w.provider = &tokenServer{}
		x := w.exchanger(func(x *Exchanger) { x.Jobs = queue })
		err = x.Run(t.Context(), hard, func() { ready = true })
		return ready, queue, err
	}
	ready, queue, err := start(w.ring)
	if !ready || !work.Rejected(err) || queue.workers != DefaultWorkers || queue.ctx == nil || queue.hard != hard {
		t.Errorf("ready=%t, error %v, %d workers", ready, err, queue.workers)
	}
	ready, queue, err = start(newRing(t, w.now()))
	if ready || !errors.Is(err, ErrForeignKeyset) || queue.workers != 0 {
		t.Errorf("with a foreign keyring: ready=%t, error %v, %d workers", ready, err, queue.workers)
	}
}

func TestNewWithoutKeys(t *testing.T) {
	t.Parallel()
	if _, err := New(Deps{Keyring: new(seal.Keyring)}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("error is %v", err)
	}
}
