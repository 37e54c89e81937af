package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// The claims of docs/scale.md, each with what happens without the mechanism that it
// rests on. The seed is another than that of the document: the claims hold for all.
const seed = 2

const document = "../../docs/scale.md"

func TestTheDocumentHasTheTables(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := fill(string(text), simulate(publishedSeed))
	if err != nil {
		t.Fatal(err)
	}
	if filled != string(text) {
		t.Error("docs/scale.md has other tables: make sim, and look at what has changed")
	}
}

func TestFillRefusesADocumentThatDoesNotFit(t *testing.T) {
	one := []table{{name: "one", head: []string{"a"}}}
	for _, text := range []string{
		"", "<!-- sim:two -->\n<!-- /sim -->", "<!-- sim:one -->\n", strings.Repeat("<!-- sim:one -->\n<!-- /sim -->", 2),
	} {
		if got, err := fill(text, one); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
	const want = "x\n<!-- sim:one -->\n| a |\n|---|\n<!-- /sim -->\ny"
	if got, err := fill("x\n<!-- sim:one -->\nold\n<!-- /sim -->\ny", one); err != nil || got != want {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestACellIsBoundByItsWrites(t *testing.T) {
	if s := sizeOf(cellSize); s.busy > .5 || s.drain > 10*time.Minute {
		t.Errorf("a cell of %d writes %.0f %% of what it can, and drains in %v", cellSize, 100*s.busy, s.drain)
	}
	if s := sizeOf(largest); s.busy < 1 {
		t.Errorf("the largest organisation fits into one cell, with %.0f %%: why cells?", 100*s.busy)
	}
}

func TestPlacementNeedsADirectoryAndParts(t *testing.T) {
	all := organisations()
	sum := 0.
	for _, secrets := range all {
		sum += secrets
	}
	if math.Abs(sum-fleet) > 1 || math.Abs(all[0]-largest) > 1 {
		t.Fatalf("organisations of %.0f secrets, the largest of %.0f", sum, all[0])
	}
	if n := fullest(seed, all, true, true); n > cellSize {
		t.Errorf("the fullest cell has %.0f", n)
	}
	for _, without := range [][2]bool{{false, true}, {true, false}} {
		if n := fullest(seed, all, without[0], without[1]); n <= cellSize {
			t.Errorf("without one of them (%v) the fullest cell has %.0f, too", without, n)
		}
	}
}

func TestNothingIsLateForLong(t *testing.T) {
	const bound = 5 * time.Second
	for _, m := range mishaps() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			c := suffer(seed, m)
			if c.done != c.due || len(c.held) > 0 {
				t.Errorf("of %d refreshes %d were made", c.due, c.done)
			}
			late := c.late[anyone]
			if p99 := late.quantile(.99); m.name == "nothing" && p99 > 20*time.Millisecond {
				t.Errorf("p99 is %v in peace", p99)
			}
			alone, leaderless := strings.Contains(m.name, "all schedulers"), strings.Contains(m.name, "both streams")
			switch n := late.beyond(bound); {
			case alone && n == 0:
				t.Error("none is late without a scheduler that goes on, either")
			case leaderless && late.quantile(1) > leaderOutMax+failurePause+time.Second:
				t.Errorf("the latest is late by %v", late.quantile(1))
			case !alone && !leaderless && n > 0:
				t.Errorf("%d are late by more than %v", n, bound)
			}
		})
	}
}

func TestALaneKeepsALargeOrganisationToItself(t *testing.T) {
	const fine = 100 * time.Millisecond
	if others, _ := beside(seed, largest, laneLimit); others.quantile(.99) > fine {
		t.Errorf("in a lane: the others' p99 is %v", others.quantile(.99))
	}
	if others, _ := beside(seed, largest, 0); others.quantile(.99) < fine {
		t.Errorf("without a lane the others' p99 is %v, too", others.quantile(.99))
	}
	if _, its := beside(seed, largest/10, laneLimit); its.quantile(.99) > fine {
		t.Errorf("spread over ten cells: its own p99 is %v", its.quantile(.99))
	}
}

func TestNoTokenIsSpentTwiceWhenARegionIsLost(t *testing.T) {
	for _, l := range losses() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			d := l.run(seed)
			switch {
			case d.expired() > 0:
				t.Errorf("%d values expired", d.expired())
			case l.fence && l.claims && (d.twice > 0 || d.held == 0):
				t.Errorf("%d spent tokens were sent, %d were held", d.twice, d.held)
			case l.fence && l.claims && !l.destroyed && (d.recovered != d.held || d.consents > 0):
				t.Errorf("%d of %d held tokens were recovered, %d consents are needed", d.recovered, d.held, d.consents)
			case d.consents > d.held+d.twice:
				t.Errorf("%d consents for %d tokens", d.consents, d.held+d.twice)
			case l.fence && !l.claims && d.twice == 0:
				t.Error("none is spent twice without a look at the claims, either")
			case !l.fence && d.twice < 1000:
				t.Errorf("without a fence only %d are spent twice", d.twice)
			}
		})
	}
}

func TestAFenceAdmitsOneClaimAtATime(t *testing.T) {
	if d := peaceful(seed, parts); d.late.quantile(.99) > 3*regionTrip || d.claiming() > parts {
		t.Errorf("with %d fences: p99 %v, %d waiting", parts, d.late.quantile(.99), d.claiming())
	}
	if d := peaceful(seed, 1); d.claiming() < 500 {
		t.Errorf("with one fence only %d claims wait: why parts?", d.claiming())
	}
}

func TestAMoveLosesNothing(t *testing.T) {
	if e := (order{}).explore(); e.twice+e.forgot+e.stalled > 0 || e.states < 2000 {
		t.Errorf("as designed: %+v", e)
	}
	for _, v := range variants()[1:] {
		e := v.explore()
		if broken := e.twice + e.forgot + e.stalled; broken == 0 {
			t.Errorf("%s: nothing goes wrong", v.name)
		}
	}
}

func TestALentBudgetDrainsAsOneQueue(t *testing.T) {
	results := map[string]*drain{}
	for _, s := range sharings() {
		results[s.name] = s.run(seed)
	}
	ideal := results["one queue for the fleet: the ideal"]
	most := int(1.01 * 60 * budgetRate)
	for _, name := range []string{"lent for 5 s where values end first", "lent, and a region does not reach the lender for 20 min"} {
		d := results[name]
		if d == nil || d.expired > ideal.expired || d.most > most {
			t.Fatalf("%s: %d expired, of the ideal %d; %d requests in a minute", name, d.expired, ideal.expired, d.most)
		}
		took := (d.ended - downUntil).Seconds()
		if used := float64(d.used) / (took * budgetRate); d.ended == 0 || used < .95 {
			t.Errorf("%s: drained after %.0f s with %.0f %% of the budget", name, took, 100*used)
		}
	}
	if n := (sharing{calm: true}).run(seed).expired; n > 0 {
		t.Errorf("%d expire with shares by size and no outage: the day is too hard", n)
	}
	if results["by the secrets of each cell"].expired == 0 || results["the same for each cell"].expired == 0 {
		t.Error("fixed shares lose nothing, either: why lend?")
	}
	if results["the whole budget for each cell"].most < 2*most {
		t.Error("without shares the budget is kept, too: why divide it?")
	}
}

// A cell that hears nothing may not go on with what it was lent.
func TestALoanEnds(t *testing.T) {
	kept := sharing{cut: true, share: func(d *drain) {
		last := map[*queue]float64{}
		for c, q := range d.cells {
			if !d.reaches(c) {
				last[q] = q.rate
			}
		}
		d.lend()
		for q, rate := range last {
			q.rate = rate
		}
	}}
	if d := kept.run(seed); d.most <= int(1.01*60*budgetRate) {
		t.Errorf("loans that do not end keep to the budget, too: %d requests in a minute", d.most)
	}
}

func TestJitterEndsTheEcho(t *testing.T) {
	for _, h := range stampedes() {
		most := h.peaks(seed)
		if echo := most[1] > most[0]/2; echo != (h.jitter == 0) {
			t.Errorf("limited by %s: %v", h.name, most)
		}
	}
}
