package bus

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// memberTTL is for how long a member may be silent. The server counts in whole
	// seconds.
	memberTTL = 2 * time.Second
	// memberRenew is how often each member shows that it is there, and looks who
	// else is.
	memberRenew = 500 * time.Millisecond
	// memberTrust is for how long after it has shown itself last a member acts. It
	// is shorter than memberTTL, and counts from before the request.
	memberTrust = memberTTL - memberRenew
	// memberCourtesy is how long there must have been nobody before somebody comes
	// in who would rather have another act: long enough for others to look twice.
	memberCourtesy = 2 * memberRenew
	// memberRetry is the pause after somebody else was quicker.
	memberRetry = 10 * time.Millisecond
)

// Members keeps a list of the processes that share some work, one for each group.
//
// The list is one record, changed by compare-and-swap, so that all its versions are
// in one order and everybody goes by one of them. A member writes with its name
// which version it goes by. Who comes in acts when all the others have gone by one
// that names it; who has been silent for so long that it must have noticed itself is
// struck off by whoever notices first. So no two ever act upon different versions
// that give both the same thing, as long as what is given is given by name and who
// comes in takes only for itself; but for a member that stood still between looking
// at the clock and acting.
type Members struct {
	stream
	me string
}

// Members returns the fleet's lists; name is this process's for whoever looks at them.
func (b *Bus) Members(ctx context.Context, name string) (*Members, error) {
	s, err := b.open(ctx, streamLeases, prefixLeases)
	if err != nil {
		return nil, err
	}
	return &Members{s, name + " " + nuid.Next()}, nil
}

// roll is who is there, and for each the revision of the list that it goes by.
type roll map[string]state.Revision

func (r roll) names() []string { return slices.Sorted(maps.Keys(r)) }

// readRoll reads a list. What is none has nobody on it, and is written over.
func readRoll(body []byte) roll {
	r := roll{}
	if json.Unmarshal(body, &r) != nil || r == nil {
		return roll{}
	}
	return r
}

// Join puts this process on the list of a group and keeps it there until ctx ends. It
// calls tell with its own name and those of all, itself included, whenever that has
// changed, and with nobody when it is not to act any more; once tell has returned,
// others count on it. It comes in when able is closed, or when nobody else is there.
// An error means that the connection is closed for good. It may be called once.
func (l *Members) Join(ctx context.Context, group string, able <-chan struct{}, tell func(me string, all []string)) error {
	m := &member{Members: l, group: group, able: able, tell: tell, heard: map[string]sign{}}
	defer m.leave(context.WithoutCancel(ctx))
	for {
		err := m.round(ctx)
		if closed := l.b.closed(); closed != nil {
			return closed
		}
		m.doubt()
		wait := memberRenew
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, state.ErrConflict):
			wait = memberRetry
		case err != nil && !errors.Is(err, ErrUnavailable):
			l.b.log.WarnContext(ctx, "who shares the work cannot be told", "group", group, "error", err)
		}
		if m.acts() {
			wait = min(wait, time.Until(m.until))
		}
		if pause(ctx, wait) != nil {
			return ctx.Err()
		}
		m.doubt()
	}
}

// member is one call of Join.
type member struct {
	*Members
	group string
	able  <-chan struct{}
	tell  func(me string, all []string)

	came  state.Revision // the version with which it came in; 0 while it is not on the list
	until time.Time      // when it stops acting unless it is renewed
	told  []string       // whom it has told of last
	heard map[string]sign
}

// sign is a sign of life: what a member went by, and when that was noticed first.
type sign struct {
	by state.Revision
	at time.Time
}

func (m *member) acts() bool { return len(m.told) > 0 }

// round looks who is there, and tells them that this one is.
func (m *member) round(ctx context.Context) error {
	rev, all, err := m.read(ctx)
	if err != nil {
		return err
	}
	if _, listed := all[m.me]; !listed {
		m.came = 0 // struck off, or not in yet
	}
	m.goBy(all) // before it is said that this one does
	m.strike(all)
	if m.came == 0 && !m.mayEnter(ctx, len(all)) {
		return nil
	}
	all[m.me] = rev
	return m.write(ctx, rev, all)
}

// patience bounds a request to the server: who acts has to know in time that it may
// no longer.
func (m *member) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if m.acts() {
		return context.WithDeadline(ctx, m.until)
	}
	return context.WithTimeout(ctx, memberTrust)
}

// read returns the list and its revision; the revision 0 is that of none.
func (m *member) read(ctx context.Context) (state.Revision, roll, error) {
	ctx, cancel := m.patience(ctx)
	defer cancel()
	// Asked of whoever leads the stream: the others may be behind.
	last, err := m.s.GetLastMsgForSubject(ctx, m.prefix+m.group)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, roll{}, nil
	case err != nil:
		return 0, nil, translate(err)
	case removed(last.Header):
		return state.Revision(last.Sequence), roll{}, nil
	}
	return state.Revision(last.Sequence), readRoll(last.Data), nil
}

// write makes the list what is given, if it still is what it was.
func (m *member) write(ctx context.Context, expect state.Revision, all roll) error {
	sent := time.Now()
	rev, err := m.save(ctx, expect, all)
	if err != nil {
		return err
	}
	m.until = sent.Add(memberTrust)
	if m.came == 0 {
		m.came = rev
	}
	m.goBy(all)
	return nil
}

func (m *member) save(ctx context.Context, expect state.Revision, all roll) (state.Revision, error) {
	ctx, cancel := m.patience(ctx)
	defer cancel()
	body, err := json.Marshal(all)
	if err != nil {
		return 0, err
	}
	msg := m.message(m.group, body, uint64(expect))
	msg.Header.Set(jetstream.MsgTTLHeader, memberTTL.String())
	return m.put(ctx, msg)
}

// goBy acts upon a version of the list: as one of those on it, if this one is and all
// the others know it.
func (m *member) goBy(all roll) {
	known := m.came != 0 && time.Now().Before(m.until)
	for name, by := range all {
		known = known && (name == m.me || by >= m.came)
	}
	if !known {
		m.say(nil)
		return
	}
	m.say(all.names())
}

// doubt stops acting when this one may have been struck off.
func (m *member) doubt() {
	if !time.Now().Before(m.until) {
		m.say(nil)
	}
}

func (m *member) say(all []string) {
	if !slices.Equal(all, m.told) {
		m.told = all
		m.tell(m.me, all)
	}
}

// strike takes off the list who has been silent for too long, by the clock of this
// process alone.
func (m *member) strike(all roll) {
	now := time.Now()
	maps.DeleteFunc(m.heard, func(name string, _ sign) bool { _, listed := all[name]; return !listed })
	for name, by := range all {
		if last, known := m.heard[name]; !known || last.by != by {
			m.heard[name] = sign{by, now}
		} else if name != m.me && now.Sub(last.at) >= memberTTL {
			delete(all, name)
		}
	}
}

// mayEnter reports whether this one comes in beside so many.
func (m *member) mayEnter(ctx context.Context, others int) bool {
	select {
	case <-m.able:
		return true
	default:
	}
	if others > 0 {
		return false
	}
	select {
	case <-m.able:
	case <-time.After(memberCourtesy): // if another has come in since, the write says so
	case <-ctx.Done():
		return false
	}
	return true
}

// leave stops acting, and strikes this one off. Where that fails, others do it.
func (m *member) leave(ctx context.Context) {
	m.say(nil)
	ctx, cancel := context.WithTimeout(ctx, memberTTL)
	defer cancel()
	for m.b.closed() == nil {
		rev, all, err := m.read(ctx)
		if _, listed := all[m.me]; err != nil || !listed {
			return
		}
		delete(all, m.me)
		if _, err := m.save(ctx, rev, all); !errors.Is(err, state.ErrConflict) {
			return
		}
	}
}
