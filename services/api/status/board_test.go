package status_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/status"
)

// Each of the four parts of a key is a filter, for whoever has nothing but nats.go.
func TestWatchFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*secret.Secret
	for _, org := range []string{"a@Org", "b.c@Org"} {
		for _, property := range []string{"PR1", "PR2"} {
			for _, kind := range []secret.Kind{secret.OAuth2, secret.OAuth2ClientCredentials, secret.Token} {
				all = append(all, newSecret(org, property, kind))
			}
		}
	}
	w.commit(all...)
	w.post()
	w.settled()
	for _, test := range []struct {
		name, pattern string
		holds         func(s *secret.Secret) bool
	}{
		{"organisation", events.StatusKeys("b.c@Org", "", "", ""), func(s *secret.Secret) bool { return s.Org == "b.c@Org" }},
		{"property", events.StatusKeys("", "PR2", "", ""), func(s *secret.Secret) bool { return s.Property == "PR2" }},
		{"type", events.StatusKeys("", "", "oauth2", ""), func(s *secret.Secret) bool { return s.Kind != secret.Token }},
		{"secret", events.StatusKeys("", "", "", all[4].ID), func(s *secret.Secret) bool { return s == all[4] }},
		{"all of them", events.StatusKeys("a@Org", "PR1", "token", all[2].ID), func(s *secret.Secret) bool { return s == all[2] }},
	} {
		t.Run(test.name, func(t *testing.T) {
			updates := w.watch(test.pattern)
			var want, got []string
			for _, s := range all {
				if test.holds(s) {
					want = append(want, s.ID)
				}
			}
			for e := range updates {
				if e == nil {
					break
				}
				got = append(got, e.Key()[strings.LastIndexByte(e.Key(), '.')+1:])
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s shows %q, want %q", test.pattern, got, want)
			}
			// And what changes from now on.
			for _, s := range all {
				s.Name = test.name
				w.commit(s)
			}
			for range want {
				var st events.Status
				w.check(json.Unmarshal((<-updates).Value(), &st))
				if st.Name != test.name || !slices.Contains(want, st.Secret) {
					t.Errorf("%s shows %q of %s", test.pattern, st.Name, st.Secret)
				}
			}
			w.settled()
		})
	}
}

// Who starts writes what differs and nothing else: what has changed meanwhile, what is new,
// and what is gone.
func TestStartWritesWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*secret.Secret
	for range 50 {
		all = append(all, newSecret("org", "PR1", secret.Token))
	}
	w.commit(all...)
	p := w.post()
	w.settled()
	p.stop()
	before := w.written()

	all[0].Name = "another"
	w.commit(all[0], newSecret("org", "PR1", secret.Token))
	w.erase(all[1])
	p = w.post()
	w.settled()
	if n := w.written() - before; n != 3 {
		t.Errorf("%d statuses were written, want 3", n)
	}
	if got := w.shown()[keyOf(all[0])].Name; got != "another" {
		t.Errorf("the name is %q", got)
	}
	// And the same as things happen.
	w.erase(all[0])
	all[2].Status = secret.Succeeded
	w.commit(all[2])
	w.settled()
	if n := w.written() - before; n != 5 || w.shown()[keyOf(all[2])].Status != "succeeded" {
		t.Errorf("%d statuses were written, want 5; %+v", n, w.shown()[keyOf(all[2])])
	}
	if n := p.gauge("rekindle_status_written_total"); n != 5 {
		t.Errorf("%v statuses are counted, want 5", n)
	}
}

// hanging lets some writes through, and then none.
type hanging struct {
	status.Bucket
	left  atomic.Int64
	stuck chan struct{} // filled when one hangs
}

func (h *hanging) Put(ctx context.Context, w state.Write, stamp string) (state.Revision, error) {
	if h.left.Add(-1) < 0 {
		select {
		case h.stuck <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return h.Bucket.Put(ctx, w, stamp)
}

// A process that dies in the middle leaves its share to another.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 200 {
		w.commit(newSecret("org", "PR1", secret.Token))
	}
	b := w.connect()
	members, err := b.Members(w.ctx, "poster")
	w.check(err)
	h := &hanging{Bucket: b.Statuses(), stuck: make(chan struct{}, 1)}
	h.left.Store(70)
	dying := w.postOver(b, h, members)
	<-h.stuck
	for dying.gauge("rekindle_status_waiting") < 130 {
		if w.ctx.Err() != nil {
			t.Fatalf("%v statuses wait, want the rest of 200", dying.gauge("rekindle_status_waiting"))
		}
	}
	if age := dying.gauge("rekindle_status_oldest_seconds"); age <= 0 {
		t.Errorf("the oldest waits for %vs", age)
	}
	w.post()
	dying.cut()
	w.settled()
	if n := w.written(); n != 200 {
		t.Errorf("%d statuses were written, want 200", n)
	}
}

// recorder notes what was written, and how.
type recorder struct {
	status.Bucket
	mu      *sync.Mutex
	written *[]write
}

type write struct {
	key   string
	slot  state.Revision
	stamp string
}

func (r recorder) Put(ctx context.Context, w state.Write, stamp string) (state.Revision, error) {
	slot, err := r.Bucket.Put(ctx, w, stamp)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		*r.written = append(*r.written, write{w.Key, slot, stamp})
	}
	return slot, err
}

// Of two that write the same, neither puts an older status over a newer one.
func TestNoneGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*secret.Secret
	for range 5 {
		all = append(all, newSecret("org", "PR1", secret.Token))
	}
	w.commit(all...)
	var mu sync.Mutex
	var written []write
	for range 2 {
		b := w.connect()
		w.postOver(b, recorder{b.Statuses(), &mu, &written}, alone{})
	}
	for range 200 {
		w.commit(all...)
	}
	w.settled()
	mu.Lock()
	defer mu.Unlock()
	slices.SortFunc(written, func(a, b write) int { return cmp.Compare(a.slot, b.slot) })
	last := map[string]uint64{}
	for _, put := range written {
		number, _, _ := strings.Cut(put.stamp, ".")
		revision, err := strconv.ParseUint(number, 10, 64)
		w.check(err)
		if revision < last[put.key] {
			t.Errorf("%d came after %d", revision, last[put.key])
		}
		last[put.key] = revision
	}
	if len(last) != len(all) {
		t.Errorf("%d have been written, want %d", len(last), len(all))
	}
}

// counter counts attempts to write.
type counter struct {
	status.Bucket
	n *atomic.Int64
}

func (c counter) Put(ctx context.Context, w state.Write, stamp string) (state.Revision, error) {
	c.n.Add(1)
	return c.Bucket.Put(ctx, w, stamp)
}

// Processes share the work: each status is written once, nobody else tries, and all of them
// write.
func TestShares(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var attempts atomic.Int64
	var all []*poster
	for range 3 {
		b := w.connect()
		members, err := b.Members(w.ctx, "poster")
		w.check(err)
		all = append(all, w.postOver(b, counter{b.Statuses(), &attempts}, members))
	}
	for _, p := range all {
		for p.gauge("rekindle_status_members") != 3 {
			if w.ctx.Err() != nil {
				t.Fatal("they do not know each other")
			}
		}
	}
	for range 300 {
		w.commit(newSecret("org", "PR1", secret.Token))
	}
	w.settled()
	for _, p := range all {
		if n := p.gauge("rekindle_status_written_total"); n < 50 {
			t.Errorf("one wrote %v of 300", n)
		}
	}
	if attempts.Load() != 300 || w.written() != 300 {
		t.Errorf("there were %d writes, in %d attempts, want 300", w.written(), attempts.Load())
	}
}

// A bucket that is deleted is made and filled again, in a way that watches can rely on.
func TestBucketDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []*secret.Secret
	for range 20 {
		all = append(all, newSecret("org", "PR1", secret.Token))
	}
	w.commit(all...)
	w.post()
	w.post()
	w.settled()
	for round := range 2 {
		w.check(w.js.DeleteStream(w.ctx, "KV_"+events.StatusBucket))
		all[0].Name = strings.Repeat("x", round+1)
		w.commit(all[0]) // which cannot be shown at once
		for {
			if _, err := w.js.Stream(w.ctx, "KV_"+events.StatusBucket); err == nil {
				break
			} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Fatal(err)
			}
		}
		w.settled()
	}
}

// What somebody else has done to the bucket does not last.
func TestMeddling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two, three := newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.Token)
	w.commit(one, two, three)
	w.post()
	w.settled()
	kv := w.bucket()
	w.check(kv.Delete(w.ctx, keyOf(one)))
	_, err := kv.Put(w.ctx, keyOf(two), []byte(`{}`))
	w.check(err)
	w.check(kv.Purge(w.ctx, keyOf(three)))
	_, err = kv.Put(w.ctx, keyOf(newSecret("org", "PR1", secret.Token)), []byte(`{"secret":"nobody's"}`))
	w.check(err)
	_, err = kv.Put(w.ctx, "not.a.status", []byte(`{}`)) // which is nobody's to judge
	w.check(err)
	w.settled()
}

// What somebody else has put under the id of a secret in a wrong place does not last, nor keep
// the secret's own status from being written.
func TestMeddlingElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.Token)
	w.commit(newSecret("org", "PR1", secret.Token), one, two) // what has no stamp is as good as the first record
	p := w.post()
	w.settled()
	for _, s := range []*secret.Secret{one, two} {
		_, err := w.bucket().Put(w.ctx, events.StatusKey("other", "PR1", string(secret.Token), s.ID), []byte(`{}`))
		w.check(err)
	}
	w.settled()
	one.Name = "renamed"
	w.commit(one)
	w.settled()
	if n := p.gauge("rekindle_status_waiting"); n > 0 {
		t.Errorf("%v statuses wait", n)
	}
}

// A status that was made of a newer record than this process has seen is left alone, until
// it has seen that. One that no record bears out makes way.
func TestAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	newer, restored := newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.Token)
	w.commit(newer, restored)
	lagging := w.connect()
	p := w.postOver(lagging, lagging.Statuses(), alone{})
	w.settled()
	resume := p.lag()
	newer.Name = "newer"
	w.commit(newer)
	prompt := w.connect()
	w.postOver(prompt, prompt.Statuses(), alone{})
	w.settled()
	before := w.written()
	// As if the records had been put back to what they were.
	_, err := w.js.PublishMsg(w.ctx, stamped(restored, "999999.1"))
	w.check(err)
	w.settled()
	resume()
	if n := w.written() - before; n != 2 {
		t.Errorf("there were %d writes, want that of another history and the one that mends it", n)
	}
	if got := w.shown()[keyOf(newer)].Name; got != "newer" {
		t.Errorf("the name is %q", got)
	}
}

// A status that an earlier version of the program has made of the same record is made anew,
// also where that had another place for it. One of a later version stays.
func TestFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	earlier, later, alias := newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.Token), newSecret("org", "PR1", secret.OAuth2ClientCredentials)
	w.commit(newSecret("org", "PR1", secret.Token), earlier, later, alias)
	publish := func(key string, s *secret.Secret, format string) {
		m := stamped(s, fmt.Sprint(w.revs[s.ID], ".", format))
		m.Subject = "$KV.status." + key
		m.Data = fmt.Appendf(nil, `{"secret":%q,"revision":%d,"name":"of another version"}`, s.ID, w.revs[s.ID])
		_, err := w.js.PublishMsg(w.ctx, m)
		w.check(err)
	}
	publish(keyOf(earlier), earlier, "0")
	publish(keyOf(later), later, "1000")
	publish(events.StatusKey("org", "PR1", string(alias.Kind), alias.ID), alias, "0")
	w.post()
	w.settled()
	for shown := w.shown(); shown[keyOf(earlier)].Name != earlier.Name; shown = w.shown() {
		if w.ctx.Err() != nil {
			t.Fatal("that of an earlier version is still there")
		}
	}
	if got := w.shown()[keyOf(later)].Name; got != "of another version" {
		t.Errorf("that of a later version has made way for one whose name is %q", got)
	}
}

// stamped is a write to the bucket that carries a stamp.
func stamped(s *secret.Secret, stamp string) *nats.Msg {
	m := nats.NewMsg("$KV.status." + keyOf(s))
	m.Header.Set("Rekindle-Stamp", stamp)
	m.Data = []byte(`{"revision":999999}`)
	return m
}
