package api

import (
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// shelf is the part of the projection that is about what is made of secrets.
type shelf struct {
	elements  *table[*DataElement]
	libraries *table[*Library]
	builds    *table[*Build]
	// published has when each data element and extension was published last.
	published map[string]time.Time
	pending   map[string]bool // the builds that are
	unbuilt   chan struct{}   // holds a token when there may be a new one
}

// The indexes of the shelf.
const (
	elementsOfProperty, librariesOfProperty, buildsOfLibrary = 0, 0, 0

	byOrigin, byHolder, buildsOfEnvironment = 1, 1, 1

	byDevelopment, byStaging, byProduction = 2, 3, 4
)

func newShelf() shelf {
	secretFor := func(stage Stage) func(*DataElement) string {
		return func(e *DataElement) string { return e.Secrets[stage] }
	}
	return shelf{
		elements: newTable(ageOfElement,
			func(e *DataElement) string { return e.Property },
			func(e *DataElement) string { return e.Origin },
			secretFor(Development), secretFor(Staging), secretFor(Production)),
		libraries: newTable(ageOfLibrary,
			func(l *Library) string { return l.Property },
			func(l *Library) string { return l.Environment }),
		builds: newTable(ageOfBuild,
			func(b *Build) string { return b.Library },
			func(b *Build) string { return b.Environment }),
		published: make(map[string]time.Time),
		pending:   make(map[string]bool),
		unbuilt:   make(chan struct{}, 1),
	}
}

func (s *shelf) index() {
	s.elements.index()
	s.libraries.index()
	s.builds.index()
}

func (p *projection) putElement(e *DataElement) {
	p.elements.put(e)
	p.judge(orphan{secret.PrefixDataElement, e.ID}, p.properties.has(e.Property))
}

func (p *projection) dropElement(id string) {
	p.elements.remove(id)
	delete(p.orphans, orphan{secret.PrefixDataElement, id})
	p.judgeNotes(id)
}

func (p *projection) putLibrary(l *Library) {
	p.libraries.put(l)
	if l.State == Published {
		p.publish(l)
	}
	if p.caughtUp {
		p.placement(l)
	}
}

// publish notes that what is in a library is published, and what it is a revision
// of, too.
func (p *projection) publish(l *Library) {
	ids := make([]string, 0, 2*len(l.Elements)+1)
	for _, h := range l.Elements {
		ids = append(ids, h.ID, h.Origin)
	}
	if l.Extension {
		ids = append(ids, extensionOf(l.Property))
	}
	for _, id := range ids {
		if l.PublishedAt.After(p.published[id]) {
			p.published[id] = l.PublishedAt
		}
	}
}

// placement looks whether a library still has the property and the environment it is
// to have. One without its environment is shown as it will be once it is healed.
func (p *projection) placement(l *Library) {
	placed := l.Environment == "" || p.environments.has(l.Environment)
	p.judge(orphan{secret.PrefixLibrary, l.ID}, placed && p.properties.has(l.Property))
	if !placed {
		displaced := *l
		displaced.Environment = ""
		p.libraries.put(&displaced)
	}
}

func (p *projection) dropLibrary(id string) {
	if l, ok := p.libraries.get(id); ok && l.State == Published {
		for _, h := range l.Elements {
			delete(p.published, h.ID)
			delete(p.published, h.Origin)
		}
		delete(p.published, extensionOf(l.Property))
	}
	p.libraries.remove(id)
	delete(p.orphans, orphan{secret.PrefixLibrary, id})
	p.judgeNotes(id)
	if !p.caughtUp {
		return
	}
	for b := range p.builds.by(buildsOfLibrary, id).all() {
		p.judge(orphan{secret.PrefixBuild, b.ID}, false)
	}
}

func (p *projection) putBuild(b *Build) {
	p.builds.put(b)
	p.judge(orphan{secret.PrefixBuild, b.ID}, p.libraries.has(b.Library))
	p.await(b)
}

func (p *projection) dropBuild(id string) {
	p.builds.remove(id)
	delete(p.pending, id)
	delete(p.orphans, orphan{secret.PrefixBuild, id})
}

// await keeps the set of builds that somebody has to end.
func (p *projection) await(b *Build) {
	if b.Status != secret.Pending || !p.caughtUp {
		delete(p.pending, b.ID)
		return
	}
	p.pending[b.ID] = true
	select {
	case p.unbuilt <- struct{}{}:
	default:
	}
}

// emptyShelf judges what is left of a property that is gone.
func (p *projection) emptyShelf(property string) {
	for e := range p.elements.by(elementsOfProperty, property).all() {
		p.judge(orphan{secret.PrefixDataElement, e.ID}, false)
	}
	for l := range p.libraries.by(librariesOfProperty, property).all() {
		p.judge(orphan{secret.PrefixLibrary, l.ID}, false)
	}
}

// judgeShelf judges all of it, once all is loaded.
func (p *projection) judgeShelf() {
	for _, e := range p.elements.all() {
		p.judge(orphan{secret.PrefixDataElement, e.ID}, p.properties.has(e.Property))
	}
	for _, l := range p.libraries.all() {
		p.placement(l)
	}
	for _, b := range p.builds.all() {
		p.judge(orphan{secret.PrefixBuild, b.ID}, p.libraries.has(b.Library))
		p.await(b)
	}
}

// aBuild returns one of the builds that are pending, if there are any.
func (p *projection) aBuild() (orphan, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for id := range p.pending {
		return orphan{secret.PrefixBuild, id}, true
	}
	return orphan{}, false
}

// PublishedAt returns when a data element or an extension was published last, zero
// if never: what a published library has in it is.
func (s *Service) PublishedAt(id string) time.Time {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return s.view.published[id]
}
