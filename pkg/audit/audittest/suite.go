package audittest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
)

// patience bounds whatever a test waits for.
const patience = 30 * time.Second

// Suite tries what every log promises. Open returns an empty one.
func Suite(t *testing.T, open func(*testing.T) audit.Log) {
	for _, part := range []struct {
		name string
		try  func(*testing.T, audit.Log)
	}{
		{"empty", testEmpty},
		{"order", testOrder},
		{"one of many is first", testRace},
		{"chain of many writers", testWriters},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.try(t, open(t))
		})
	}
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func testEmpty(t *testing.T, l audit.Log) {
	ctx := patient(t)
	if _, err := l.Last(ctx, "acme"); !errors.Is(err, audit.ErrNone) {
		t.Errorf("the last of nothing: %v", err)
	}
	if _, err := l.Next(ctx, "acme", 1); !errors.Is(err, audit.ErrNone) {
		t.Errorf("the first of nothing: %v", err)
	}
	if _, err := l.Append(ctx, "acme", []byte("{}"), 7); !errors.Is(err, audit.ErrMoved) {
		t.Errorf("behind what is not there: %v", err)
	}
}

// testOrder: organisations do not see each other's pages, whatever they are called.
func testOrder(t *testing.T, l audit.Log) {
	ctx := patient(t)
	orgs := []string{"acme", "ACME@Org.*>", ""}
	last := map[string]uint64{}
	for n := range 3 {
		for _, org := range orgs {
			sequence, err := l.Append(ctx, org, fmt.Append(nil, org, n), last[org])
			if err != nil || sequence <= last[org] {
				t.Fatalf("page %d of %q: sequence %d, %v", n, org, sequence, err)
			}
			last[org] = sequence
		}
	}
	for _, org := range orgs {
		var got []string
		for from := uint64(1); ; {
			s, err := l.Next(ctx, org, from)
			if errors.Is(err, audit.ErrNone) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got, from = append(got, string(s.Body)), s.Sequence+1
		}
		if want := []string{org + "0", org + "1", org + "2"}; !slices.Equal(got, want) {
			t.Errorf("%q has %q, want %q", org, got, want)
		}
		if s, err := l.Last(ctx, org); err != nil || string(s.Body) != org+"2" || s.Sequence != last[org] {
			t.Errorf("the last of %q is %q, %v", org, s.Body, err)
		}
	}
}

func testRace(t *testing.T, l audit.Log) {
	ctx := patient(t)
	var mu sync.Mutex
	first := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := l.Append(ctx, "acme", []byte("page"), 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				first++
			} else if !errors.Is(err, audit.ErrMoved) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if first != 1 {
		t.Errorf("%d were first", first)
	}
}

// testWriters has several keepers write at once, each entry by two of them: all of them
// stand there once, in one chain.
func testWriters(t *testing.T, l audit.Log) {
	ctx := patient(t)
	const keepers, entries = 4, 40
	var all sync.WaitGroup
	for k := range keepers {
		keeper := audit.NewKeeper(l, time.Now)
		all.Go(func() {
			for i := range entries {
				e := Entry(fmt.Sprint(k/2, "-", i))
				if _, err := keeper.Keep(ctx, "acme", []audit.Entry{e}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	v := audit.NewVerifier("acme", "")
	for from := uint64(1); ; {
		s, err := l.Next(ctx, "acme", from)
		if errors.Is(err, audit.ErrNone) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		v.Add(s)
		from = s.Sequence + 1
	}
	if r := v.Report(); !r.Sound() || r.Entries != keepers/2*entries {
		t.Errorf("%d entries, want %d; findings %v", r.Entries, keepers/2*entries, r.Findings)
	}
}

// Entry makes an entry of the organisation "acme".
func Entry(source string) audit.Entry {
	at := time.Date(2025, 11, 3, 8, 15, 0, 0, time.UTC)
	return audit.Entry{
		ID: audit.NewID("acme", source, at), At: at, Resource: "secret", Verb: audit.Updated,
		Email: "ada@example.org", Entity: audit.Entity{ID: "SE1", Name: source},
	}
}
