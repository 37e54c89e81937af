package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// fate is what came of the secrets of one rotation in one death.
type fate struct {
	secrets  int
	lost     int
	requests int           // for the refresh that was interrupted, and for what followed
	again    int           // of all requests, those that were not the first for their decision
	unheld   int           // and those that nobody had a claim for as they arrived
	after    time.Duration // the longest from the first request to the one that followed
	says     map[string]int
}

func (f *fate) add(o fate) {
	f.secrets += o.secrets
	f.lost += o.lost
	f.requests += o.requests
	f.again += o.again
	f.unheld += o.unheld
	f.after = max(f.after, o.after)
	if f.says == nil {
		f.says = map[string]int{}
	}
	for what, n := range o.says {
		f.says[what] += n
	}
}

// register has the fates of all, by rotation.
type register struct {
	mu    sync.Mutex
	fates map[death]map[string]*fate
}

func (b *register) note(d death, r rotation, one fate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fates[d] == nil {
		b.fates[d] = map[string]*fate{}
		for _, r := range rotations() {
			b.fates[d][r.name] = &fate{}
		}
	}
	b.fates[d][r.name].add(one)
}

// says is what the secret says of the refresh.
func says(s *secret.Secret) string {
	switch {
	case s.RefreshStatusDetails != nil:
		return s.RefreshStatusDetails.Reason
	case s.StatusDetails != nil:
		return s.StatusDetails.Reason
	default:
		return "refreshed"
	}
}

// check fails the test if something came of a death that must not.
func (b *register) check(t *testing.T) {
	for d, fates := range b.fates {
		for _, r := range rotations() {
			f := fates[r.name]
			if f.again > 0 {
				t.Errorf("%v, %s: %d requests for decisions that had one", d, r.name, f.again)
			}
			if f.unheld > 0 {
				t.Errorf("%v, %s: %d requests that nobody had a claim for", d, r.name, f.unheld)
			}
			if f.requests != f.secrets && !d.sent() {
				t.Errorf("%v, %s: %d requests for %d refreshes", d, r.name, f.requests, f.secrets)
			}
			if f.requests < 2*f.secrets && d.sent() && !d.keepsBack(r) {
				t.Errorf("%v, %s: %d requests for %d refreshes: who died there?", d, r.name, f.requests, f.secrets)
			}
			if f.lost > 0 && !d.loses(r) {
				t.Errorf("%v, %s: %d of %d grants were lost", d, r.name, f.lost, f.secrets)
			}
		}
	}
}

// print prints a row for each death: of the secrets of each rotation how many
// were lost, and of all of them how many requests they took.
func (b *register) print(t *testing.T, order []death) {
	w := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "lost grants\t")
	for _, r := range rotations() {
		fmt.Fprintf(w, "%s\t", r.name)
	}
	fmt.Fprint(w, "requests\tsecond\tunheld\tafter\tsecrets say\n")
	sum := map[string]*fate{}
	for _, d := range order {
		b.row(w, d.String(), b.fates[d], sum)
	}
	b.row(w, "all", sum, map[string]*fate{})
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
}

// row prints the fates of one death, and adds them to sum.
func (b *register) row(w io.Writer, name string, fates, sum map[string]*fate) {
	var all fate
	fmt.Fprintf(w, "%s\t", name)
	for _, r := range rotations() {
		f := fates[r.name]
		if f == nil {
			f = &fate{}
		}
		fmt.Fprintf(w, "%d of %d\t", f.lost, f.secrets)
		all.add(*f)
		if sum[r.name] == nil {
			sum[r.name] = &fate{}
		}
		sum[r.name].add(*f)
	}
	var said []string
	for _, what := range slices.Sorted(maps.Keys(all.says)) {
		said = append(said, fmt.Sprintf("%s %d", what, all.says[what]))
	}
	fmt.Fprintf(w, "%d\t%d\t%d\t%v\t%s\n", all.requests, all.again, all.unheld, all.after.Round(100*time.Millisecond), strings.Join(said, ", "))
}
