package api

import (
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// noted is what the projection knows of notes: whose they are. The zero value is not
// usable; it is guarded by the projection's lock.
type noted struct {
	byID    map[string]string   // what a note is on
	byOwner map[string][]string // the ids of the notes on something
}

func newNoted() *noted {
	return &noted{byID: make(map[string]string), byOwner: make(map[string][]string)}
}

func (n *noted) owner(id string) (string, bool) {
	owner, ok := n.byID[id]
	return owner, ok
}

func (n *noted) count(owner string) int { return len(n.byOwner[owner]) }

func (n *noted) put(id, owner string) {
	if _, known := n.byID[id]; known {
		return
	}
	if ids := n.byOwner[owner]; len(ids) > 0 {
		owner = n.byID[ids[0]] // one text for all of them
	}
	n.byID[id] = owner
	n.byOwner[owner] = append(n.byOwner[owner], id)
}

func (n *noted) remove(id string) {
	owner, known := n.byID[id]
	if !known {
		return
	}
	delete(n.byID, id)
	left := slices.DeleteFunc(n.byOwner[owner], func(other string) bool { return other == id })
	if n.byOwner[owner] = left; len(left) == 0 {
		delete(n.byOwner, owner)
	}
}

func (p *projection) putNote(id, owner string) {
	p.notes.put(id, owner)
	p.judgeNotes(owner)
}

func (p *projection) dropNote(id string) {
	owner, _ := p.notes.owner(id)
	p.notes.remove(id)
	p.judgeNotes(owner)
}

// judgeNotes looks whether what notes are on is there still. What this program does not
// know, a newer one may.
func (p *projection) judgeNotes(owner string) {
	if p.notes.count(owner) == 0 {
		delete(p.orphans, orphan{secret.PrefixNote, owner})
		return
	}
	kind, known := notableOf(owner)
	p.judge(orphan{secret.PrefixNote, owner}, !known || kind.has(p, owner))
}
