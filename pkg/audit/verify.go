package audit

import (
	"fmt"
	"slices"
	"time"
)

// Fault is what is wrong with a chain: a closed set.
type Fault string

// The faults. A page that was altered shows at the page behind it, whose hash of it does
// not fit any more; the last page of all has none behind it, which is what a head is kept
// for.
const (
	Unreadable Fault = "unreadable" // what is stored is no page
	Misplaced  Fault = "misplaced"  // the page of another organisation
	Missing    Fault = "missing"    // pages are not there
	Reordered  Fault = "reordered"  // a page stands behind a later one, or twice
	Altered    Fault = "altered"    // what is stored is not what was
	Rewritten  Fault = "rewritten"  // the page is not where it was written
	NoHead     Fault = "no_head"    // the page with the head that was kept is not there
)

// Finding is one thing that is wrong.
type Finding struct {
	Fault Fault `json:"fault"`
	// Number is that of the page, 0 when it has none; Sequence is its place in the log.
	Number   uint64 `json:"number,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	Detail   string `json:"detail"`
}

// Report is what a [Verifier] has found.
type Report struct {
	Org     string `json:"org"`
	Pages   int    `json:"pages"`
	Entries int    `json:"entries"`
	// First is the number of the first page that is kept, and From when that was written. What
	// was before it has been dropped by age or size: it says what the hash of it was.
	First uint64    `json:"first,omitempty"`
	From  time.Time `json:"from,omitzero"`
	// Last is the number of the last page, and To when that was written.
	Last uint64    `json:"last,omitempty"`
	To   time.Time `json:"to,omitzero"`
	// Head is the hash of the last page. Who keeps it elsewhere can tell later that nothing
	// up to it was altered, and that nothing was cut off.
	Head     string    `json:"head,omitempty"`
	Findings []Finding `json:"findings"`
}

// maxFindings bounds a report: a chain of which so much is wrong is not one.
const maxFindings = 100

// Sound reports whether nothing is wrong.
func (r Report) Sound() bool { return len(r.Findings) == 0 }

// Verifier recomputes a chain, page by page in the order of the log.
type Verifier struct {
	report Report
	head   string // to be found, "" for none
	found  bool

	before Stored
	page   *Page // as before, nil when that cannot be read
}

// NewVerifier returns a verifier of an organisation's pages. Head is a hash that the chain had as
// its head once, "" for none.
func NewVerifier(org, head string) *Verifier {
	return &Verifier{report: Report{Org: org, Findings: []Finding{}}, head: head}
}

// Add takes in the next page.
func (v *Verifier) Add(s Stored) {
	v.report.Pages++
	p, err := ReadPage(s.Body)
	switch {
	case err != nil:
		v.note(Unreadable, 0, s, "what is stored is no page")
		p = nil
	case p.Org != v.report.Org:
		v.note(Misplaced, p.Number, s, "it is a page of another organisation")
	}
	if p != nil {
		v.link(s, p)
		v.report.Entries += len(p.Entries)
		v.report.Last, v.report.To = p.Number, p.At
	}
	v.report.Head = s.Hash()
	v.found = v.found || v.report.Head == v.head
	v.before, v.page = s, p
}

// link compares a page with the one before it.
func (v *Verifier) link(s Stored, p *Page) {
	switch {
	case v.report.First == 0:
		v.report.First, v.report.From = p.Number, p.At
		if v.report.Pages == 1 {
			v.found = v.found || v.head != "" && p.Before.Hash == v.head
			return
		}
	case v.page == nil:
	case p.Number > v.page.Number+1:
		v.note(Missing, p.Number, s, fmt.Sprintf("pages %d to %d are not there", v.page.Number+1, p.Number-1))
		return
	case p.Number <= v.page.Number:
		v.note(Reordered, p.Number, s, fmt.Sprintf("page %d stands behind page %d", p.Number, v.page.Number))
		return
	}
	switch {
	case p.Before.Hash != v.before.Hash():
		v.note(Altered, p.Number-1, v.before, fmt.Sprintf("page %d was written behind something else than what is there", p.Number))
	case v.page != nil && p.Total != v.page.Total+uint64(len(v.page.Entries)):
		v.note(Altered, p.Number, s, "the count of the entries before it is wrong")
	case p.Before.Sequence != v.before.Sequence:
		v.note(Rewritten, p.Number-1, v.before, fmt.Sprintf("it was at %d when page %d was written", p.Before.Sequence, p.Number))
	}
}

func (v *Verifier) note(f Fault, number uint64, s Stored, detail string) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, Finding{f, number, s.Sequence, detail})
	}
}

// Report returns what was found so far.
func (v *Verifier) Report() Report {
	r := v.report
	if v.head != "" && !v.found {
		r.Findings = append(slices.Clip(r.Findings), Finding{
			Fault: NoHead, Detail: "no page has the hash that was kept: pages were cut off or altered, or have been dropped by age since",
		})
	}
	return r
}
