package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/audit/audittest"
)

func TestLogInMemory(t *testing.T) {
	t.Parallel()
	audittest.Suite(t, func(*testing.T) audit.Log { return new(audittest.Log) })
}

const org = "acme"

// write makes a chain of pages of one entry each, a minute apart, the i-th named "i".
func write(t testing.TB, pages int) *audittest.Log {
	t.Helper()
	l := new(audittest.Log)
	now := audittest.Entry("").At
	k := audit.NewKeeper(l, func() time.Time { now = now.Add(time.Minute); return now })
	for i := range pages {
		e := audittest.Entry(fmt.Sprint(i))
		e.At = now
		e.ID = audit.NewID(org, e.Entity.Name, e.At)
		if _, err := k.Keep(t.Context(), org, []audit.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func verify(pages []audit.Stored, head string) audit.Report {
	v := audit.NewVerifier(org, head)
	for _, p := range pages {
		v.Add(p)
	}
	return v.Report()
}

// TestTampering does to a chain what somebody might who can write to the log, and wants
// it told.
func TestTampering(t *testing.T) {
	t.Parallel()
	whole := write(t, 6).Pages(org)
	head := whole[5].Hash()
	alter := func(i int) []audit.Stored {
		pages := slices.Clone(whole)
		pages[i].Body = bytes.Replace(pages[i].Body, []byte("ada@"), []byte("eve@"), 1)
		return pages
	}
	for _, row := range []struct {
		name  string
		pages []audit.Stored
		head  string
		want  []audit.Fault
		at    uint64
	}{
		{"nothing", whole, head, nil, 0},
		{"nothing, an earlier head", whole, whole[2].Hash(), nil, 0},
		{"dropped by age", whole[2:], head, nil, 0},
		{"dropped by age up to the head", whole[2:], whole[1].Hash(), nil, 0},
		{"a byte", alter(2), head, []audit.Fault{audit.Altered}, 3},
		{"a byte of the first", alter(0), head, []audit.Fault{audit.Altered}, 1},
		{"a byte of the last, no head", alter(5), "", nil, 0},
		{"a byte of the last", alter(5), head, []audit.Fault{audit.NoHead}, 0},
		{"one of the middle is gone", slices.Delete(slices.Clone(whole), 2, 3), head, []audit.Fault{audit.Missing}, 4},
		{"the end is gone, no head", whole[:4], "", nil, 0},
		{"the end is gone", whole[:4], head, []audit.Fault{audit.NoHead}, 0},
		{"all is gone", nil, head, []audit.Fault{audit.NoHead}, 0},
		{"two are swapped", []audit.Stored{whole[0], whole[2], whole[1], whole[3], whole[4], whole[5]}, head, []audit.Fault{audit.Missing, audit.Reordered, audit.Missing}, 3},
		{"one twice", []audit.Stored{whole[0], whole[0], whole[1], whole[2], whole[3], whole[4], whole[5]}, head, []audit.Fault{audit.Reordered}, 1},
		{"not JSON", []audit.Stored{whole[0], {Sequence: 2, Body: []byte("{")}, whole[2]}, "", []audit.Fault{audit.Unreadable, audit.Altered}, 0},
		{"moved", moved(whole), head, []audit.Fault{audit.Rewritten, audit.Rewritten, audit.Rewritten, audit.Rewritten, audit.Rewritten}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := verify(row.pages, row.head)
			var got []audit.Fault
			for _, f := range r.Findings {
				got = append(got, f.Fault)
			}
			if !slices.Equal(got, row.want) || len(got) > 0 && r.Findings[0].Number != row.at {
				t.Errorf("found %+v, want %v at page %d", r.Findings, row.want, row.at)
			}
		})
	}
	other := audit.NewVerifier("other", "")
	other.Add(whole[0])
	if r := other.Report(); len(r.Findings) != 1 || r.Findings[0].Fault != audit.Misplaced {
		t.Errorf("the page of another organisation: %+v", r.Findings)
	}
}

// moved is the chain as it looks when somebody has written all of it anew.
func moved(pages []audit.Stored) []audit.Stored {
	list := slices.Clone(pages)
	for i := range list {
		list[i].Sequence += 10
	}
	return list
}

// TestKeptOnce: an entry that comes again is known, by another process, too, and after an
// answer of the log that was lost.
func TestKeptOnce(t *testing.T) {
	t.Parallel()
	l := new(audittest.Log)
	lossy := &lossyLog{Log: l}
	k := audit.NewKeeper(lossy, time.Now)
	list := []audit.Entry{audittest.Entry("a"), audittest.Entry("b"), audittest.Entry("a")}
	lossy.lose = true
	if _, err := k.Keep(t.Context(), org, list); err == nil {
		t.Fatal("the loss was not noticed")
	}
	lossy.lose = false
	for range 2 {
		if kept, err := k.Keep(t.Context(), org, list); err != nil || kept.Entries != 0 {
			t.Errorf("kept %+v, %v", kept, err)
		}
	}
	if kept, err := audit.NewKeeper(l, time.Now).Keep(t.Context(), org, list); err != nil || kept.Entries != 0 {
		t.Errorf("another process kept %+v, %v", kept, err)
	}
	if r := verify(l.Pages(org), ""); !r.Sound() || r.Entries != 2 || r.Pages != 1 {
		t.Errorf("%+v", r)
	}
}

// lossyLog loses the answer to an append.
type lossyLog struct {
	audit.Log
	lose bool
}

func (l *lossyLog) Append(ctx context.Context, org string, page []byte, last uint64) (uint64, error) {
	sequence, err := l.Log.Append(ctx, org, page, last)
	if l.lose && err == nil {
		return 0, errors.New("lost")
	}
	return sequence, err
}

// TestPagesAreBounded: what is too much for a page goes into the next, and what is too
// much for any goes without its public form.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	l := new(audittest.Log)
	var list []audit.Entry
	for i := range 3*audit.MaxEntries + 1 {
		list = append(list, audittest.Entry(fmt.Sprint(i)))
	}
	for i := range 20 {
		e := audittest.Entry(fmt.Sprint("large", i))
		e.Entity.Public = []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
		list = append(list, e)
	}
	huge := audittest.Entry("huge")
	huge.Entity.Public = []byte(`"` + strings.Repeat("x", audit.MaxPage) + `"`)
	list = append(list, huge)
	k := audit.NewKeeper(l, time.Now)
	kept, err := k.Keep(t.Context(), org, list)
	if err != nil || kept.Entries != len(list) {
		t.Fatalf("kept %+v of %d, %v", kept, len(list), err)
	}
	for _, s := range l.Pages(org) {
		if len(s.Body) > audit.MaxPage {
			t.Errorf("a page has %d bytes", len(s.Body))
		}
	}
	if r := verify(l.Pages(org), ""); !r.Sound() || r.Entries != len(list) || r.Pages != kept.Pages {
		t.Errorf("%+v", r)
	}
}

// TestGarbageEndsNothing: behind what is no page another chain begins, and the fault stays
// to be seen.
func TestGarbageEndsNothing(t *testing.T) {
	t.Parallel()
	l := write(t, 2)
	if _, err := l.Append(t.Context(), org, []byte("{"), l.Pages(org)[1].Sequence); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := audit.NewKeeper(l, time.Now).Keep(t.Context(), org, []audit.Entry{audittest.Entry(fmt.Sprint("new", i))}); err != nil {
			t.Fatal(err)
		}
	}
	r := verify(l.Pages(org), "")
	if len(r.Findings) != 1 || r.Findings[0].Fault != audit.Unreadable || r.Entries != 4 {
		t.Errorf("%+v", r)
	}
	list := must(t)(audit.Trail{Log: l}.List(t.Context(), org, audit.Query{Number: 1, Size: 10}))
	if got := names(list); !slices.Equal(got, []string{"new1", "new0", "1", "0"}) {
		t.Errorf("listed %v", got)
	}
}

func must(t testing.TB) func(audit.Result, error) audit.Result {
	return func(r audit.Result, err error) audit.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func names(r audit.Result) []string {
	list := []string{}
	for _, e := range r.Items {
		list = append(list, e.Entity.Name)
	}
	return list
}

// TestLists of a trail of many pages.
func TestLists(t *testing.T) {
	t.Parallel()
	const pages = 300
	l := write(t, pages)
	trail := audit.Trail{Log: l}
	began := audittest.Entry("").At
	for _, row := range []struct {
		name  string
		q     audit.Query
		want  []string
		total int
	}{
		{"the newest", audit.Query{Number: 1, Size: 3}, []string{"299", "298", "297"}, pages},
		{"far back", audit.Query{Number: 50, Size: 3}, []string{"152", "151", "150"}, pages},
		{"the last page", audit.Query{Number: 43, Size: 7}, []string{"5", "4", "3", "2", "1", "0"}, pages},
		{"beyond", audit.Query{Number: 44, Size: 7}, []string{}, pages},
		{"absurd", audit.Query{Number: 1 << 62, Size: 999}, []string{}, pages},
		{"one", audit.Query{Number: 1, Size: 2, Match: func(n audit.Noted) bool { return n.Entity.Name == "7" }}, []string{"7"}, 1},
		{"some", audit.Query{Number: 2, Size: 2, Match: func(n audit.Noted) bool { return strings.HasPrefix(n.Entity.Name, "29") }}, []string{"297", "296"}, 11},
		{"a time", audit.Query{Number: 1, Size: 2, From: began.Add(11 * time.Minute), To: began.Add(13*time.Minute + time.Second)}, []string{"12", "11"}, 3},
		{"before all", audit.Query{Number: 1, Size: 2, To: began}, []string{}, 0},
		{"after all", audit.Query{Number: 1, Size: 2, From: began.Add(time.Hour * 24)}, []string{}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := must(t)(trail.List(t.Context(), org, row.q))
			if got := names(r); !slices.Equal(got, row.want) || r.Total != row.total || !r.Until.IsZero() {
				t.Errorf("%v of %d, want %v of %d; until %v", got, r.Total, row.want, row.total, r.Until)
			}
		})
	}
	if r := must(t)(trail.List(t.Context(), "other", audit.Query{Number: 1, Size: 10})); r.Total != 0 || len(r.Items) > 0 {
		t.Errorf("another organisation sees %+v", r)
	}
}

// TestListsAreBounded: who looks for what is not there looks so far and no farther, and is
// told.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	counting := &countingLog{Log: write(t, 2100)}
	trail := audit.Trail{Log: counting}
	r := must(t)(trail.List(t.Context(), org, audit.Query{Number: 1, Size: 5, Match: func(n audit.Noted) bool { return n.Entity.Name == "0" }}))
	if r.Total != 0 || r.Until.IsZero() || counting.asked > 2010 {
		t.Errorf("%+v, after %d requests", r, counting.asked)
	}
	counting.asked = 0
	must(t)(trail.List(t.Context(), org, audit.Query{Number: 200, Size: 5}))
	if counting.asked > 30 {
		t.Errorf("a page took %d requests", counting.asked)
	}
}

type countingLog struct {
	audit.Log
	asked int
}

func (l *countingLog) Next(ctx context.Context, org string, from uint64) (audit.Stored, error) {
	l.asked++
	return l.Log.Next(ctx, org, from)
}

// TestEntry finds each by its id, and nothing by another.
func TestEntry(t *testing.T) {
	t.Parallel()
	counting := &countingLog{Log: write(t, 400)}
	trail := audit.Trail{Log: counting}
	all := must(t)(trail.List(t.Context(), org, audit.Query{Number: 1, Size: 400}))
	for _, e := range all.Items {
		counting.asked = 0
		got, err := trail.Entry(t.Context(), org, e.ID)
		if err != nil || got.Entity.Name != e.Entity.Name || counting.asked > 30 {
			t.Errorf("%s: %s, %v, after %d requests", e.ID, got.Entity.Name, err, counting.asked)
		}
	}
	for _, id := range []string{"", "AE", "SE" + all.Items[0].ID[2:], strings.ToUpper(all.Items[0].ID), audit.NewID(org, "no", all.Items[9].At), audit.NewID(org, "no", time.Time{}.AddDate(9000, 0, 0))} {
		if _, err := trail.Entry(t.Context(), org, id); !errors.Is(err, audit.ErrNone) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// FuzzPage: whatever is stored, it is read or told to be no page, and verified.
func FuzzPage(f *testing.F) {
	for _, s := range write(f, 2).Pages(org) {
		f.Add(s.Body, s.Body)
	}
	f.Add([]byte("{"), []byte(`{"org":"acme","number":18446744073709551615,"total":18446744073709551615,"entries":[null]}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		l := new(audittest.Log)
		for i, body := range [][]byte{one, two} {
			if _, err := l.Append(t.Context(), org, body, uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
		r := verify(l.Pages(org), "")
		if r.Pages != 2 || r.Head != l.Pages(org)[1].Hash() {
			t.Errorf("%+v", r)
		}
		must(t)(audit.Trail{Log: l}.List(t.Context(), org, audit.Query{Number: 1, Size: 10}))
		if _, err := audit.NewKeeper(l, time.Now).Keep(t.Context(), org, []audit.Entry{audittest.Entry("x")}); err != nil {
			t.Fatal(err)
		}
	})
}
