package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// parkNow puts a message where parked ones are and returns its number.
func parkNow(t *testing.T, b *Bus, subject string, header nats.Header, body string) uint64 {
	t.Helper()
	ack, err := b.js.PublishMsg(patient(t), &nats.Msg{Subject: subject, Header: header, Data: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// allParked returns what Parked tells.
func allParked(t *testing.T, b *Bus) (all []*work.Parked) {
	t.Helper()
	for m, err := range b.Parked(patient(t), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestParked follows one job into the stream and out of it.
func TestParked(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	if all := allParked(t, b); all != nil {
		t.Errorf("there are %d parked messages before any was parked", len(all))
	}
	arrived := parkedMessages(t, b)
	handle, calls := visits()
	startWork(t, b, 1, handle)
	job := due("SE1")
	job.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if accepted, err := b.Offer(patient(t), job); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	expect(t, calls, "SE1", 1).answer <- work.Reject(errors.New("no use"))
	arrived()
	want := &work.Parked{
		ID: 1, Lane: "job", Secret: "SE1", Reason: "rejected: no use", Deliveries: 1,
		Source: job.Source, Message: "event of SE1", Type: "RefreshDue", Org: job.Org, Trace: job.Trace, Time: job.Time,
	}
	want.Message = "" // which is no word
	ignored := cmpopts.IgnoreFields(work.Parked{}, "At", "Size")
	all := allParked(t, b)
	if diff := cmp.Diff([]*work.Parked{want}, all, ignored, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Fatalf("the list (-want +got):\n%s", diff)
	}
	want.Members = map[string]string{"secret": "string", "action": "string", "decision": "number", "due_at": "string"}
	one, err := b.ParkedMessage(patient(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, one, ignored, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("the message (-want +got):\n%s", diff)
	}
	if one.Size != all[0].Size || one.Size < 20 || !one.At.Equal(all[0].At) || one.At.IsZero() {
		t.Errorf("list and message differ: %d and %d bytes, %v and %v", all[0].Size, one.Size, all[0].At, one.At)
	}

	// Whoever is later finds nothing, and numbers are not given twice.
	if err := b.Discard(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{0, 1, 2, 1 << 63} {
		if err := b.Discard(patient(t), id); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("discarding %d: %v, want state.ErrNotFound", id, err)
		}
		if _, err := b.ParkedMessage(patient(t), id); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("message %d: %v, want state.ErrNotFound", id, err)
		}
	}
	if id := parkNow(t, b, events.ParkedSubject("job", "SE1"), nil, ""); id != 2 {
		t.Errorf("the number %d follows 1", id)
	}
}

// TestParkedByStrangers: whatever somebody has put into the stream can be told of,
// and nothing of it is shown that may move a terminal or be a secret.
func TestParkedByStrangers(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	const canary = "Canary7"
	long := strings.Repeat("x", 200)
	for name, tc := range map[string]struct {
		subject string
		header  nats.Header
		body    string
		want    work.Parked
	}{
		"nothing":       {"rekindle.v1.parked.job.SE1", nil, "", work.Parked{Lane: "job", Secret: "SE1"}},
		"bytes":         {"rekindle.v1.parked.job.SE1", nil, "\x1b[2J\x00" + canary, work.Parked{Lane: "job", Secret: "SE1"}},
		"text":          {"rekindle.v1.parked.job.SE1", nil, `"` + canary + `"`, work.Parked{Lane: "job", Secret: "SE1"}},
		"null":          {"rekindle.v1.parked.job.SE1", nil, `null`, work.Parked{Lane: "job", Secret: "SE1"}},
		"no JSON":       {"rekindle.v1.parked.job.SE1", nil, `{"a":` + canary, work.Parked{Lane: "job", Secret: "SE1"}},
		"a short path":  {"rekindle.v1.parked.job", nil, "", work.Parked{Secret: "job"}},
		"a long path":   {"rekindle.v1.parked.job.SE1.more", nil, "", work.Parked{Secret: "more"}},
		"other letters": {"rekindle.v1.parked.ä.ö", nil, "", work.Parked{}},
		"kinds": {
			"rekindle.v1.parked.job.SE1", nil, `{"a":"` + canary + `","b":1,"c":true,"d":null,"e":[],"f":{"g":1},"` + canary + `":1,"` + long + `":1,"":2}`,
			work.Parked{Lane: "job", Secret: "SE1", Members: map[string]string{
				"a": "string", "b": "number", "c": "boolean", "d": "null", "e": "array", "f": "object", "?": "3",
			}},
		},
		"header": {
			"rekindle.v1.parked.job.SE1",
			nats.Header{
				headerReason: {"\x1b[2Jno use"}, headerDeliveries: {"many"}, headerSize: {"-1"},
				events.HeaderType: {"\x1b[2J"}, events.HeaderID: {"%zz"}, events.HeaderSource: {"a%0Ab"}, events.HeaderOrg: {long},
				events.HeaderTime: {"soon"}, events.HeaderTrace: {"a b"},
			},
			"",
			work.Parked{Lane: "job", Secret: "SE1", Reason: " [2Jno use"},
		},
		"a negative": {
			"rekindle.v1.parked.job.SE1",
			nats.Header{headerDeliveries: {"-1"}, events.HeaderTime: {"9999-12-31T23:59:59-01:00"}},
			"",
			work.Parked{Lane: "job", Secret: "SE1"},
		},
	} {
		id := parkNow(t, b, tc.subject, tc.header, tc.body)
		got, err := b.ParkedMessage(patient(t), id)
		if err != nil {
			t.Fatal(name, err)
		}
		tc.want.ID, tc.want.Size = id, len(tc.body)
		if diff := cmp.Diff(&tc.want, got, cmpopts.IgnoreFields(work.Parked{}, "At")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if shown := fmt.Sprint(*got); strings.Contains(shown, canary) {
			t.Errorf("%s: shows %s", name, shown)
		}
	}
	for _, m := range allParked(t, b) {
		one, err := b.ParkedMessage(patient(t), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		one.Members = nil // the list does not look into bodies
		if diff := cmp.Diff(one, m); diff != "" {
			t.Errorf("message %d in the list (-alone +listed):\n%s", m.ID, diff)
		}
	}
}

// TestManyParked reads more than is asked for at a time, with holes, and leaves no
// consumer behind, also when it is left in the middle.
func TestManyParked(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	const many = 2*parkedBatch + 7
	for i := range many {
		if _, err := b.js.PublishMsgAsync(&nats.Msg{Subject: events.ParkedSubject("job", fmt.Sprint("SE", i)), Data: make([]byte, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-b.js.PublishAsyncComplete():
	case <-patient(t).Done():
		t.Fatal("not stored in time")
	}
	for _, id := range []uint64{1, 500, many} {
		if err := b.Discard(patient(t), id); err != nil {
			t.Fatal(err)
		}
	}
	all := allParked(t, b)
	if len(all) != many-3 || all[0].ID != 2 || all[len(all)-1].ID != many-1 {
		t.Fatalf("%d messages from %d to %d", len(all), all[0].ID, all[len(all)-1].ID)
	}
	for i, m := range all[1:] {
		if m.ID <= all[i].ID || m.Size != 100 {
			t.Fatalf("after %d comes %d with %d bytes", all[i].ID, m.ID, m.Size)
		}
	}
	for _, about := range []string{"SE8", "SE500", "SE"} { // of them SE500 is there and SE499 was discarded
		var found []uint64
		for m, err := range b.Parked(patient(t), about) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, m.ID)
		}
		if want := map[string][]uint64{"SE8": {9}, "SE500": {501}}[about]; !slices.Equal(found, want) {
			t.Errorf("about %s there are %d, want %d", about, found, want)
		}
	}
	for range b.Parked(patient(t), "") {
		break
	}
	s, err := b.js.Stream(patient(t), streamParked)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("%d consumers are left behind", n)
	}
}

// TestParkedWhileDeleted lets messages vanish that the server has counted.
func TestParkedWhileDeleted(t *testing.T) {
	t.Parallel()
	b := connect(t, configFor(t, serve(t)), never())
	for i := range parkedBatch + 2 {
		parkNow(t, b, events.ParkedSubject("job", fmt.Sprint("SE", i)), nil, "")
	}
	seen := 0
	for _, err := range b.Parked(patient(t), "") {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen > 1 {
			continue
		}
		s, err := b.js.Stream(patient(t), streamParked)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(patient(t), jetstream.WithPurgeSequence(parkedBatch+3)); err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 || seen > parkedBatch {
		t.Errorf("%d messages were told of", seen)
	}
}

func TestParkedUnavailable(t *testing.T) {
	t.Parallel()
	srv := newServer(t, nil)
	b := connect(t, srv.config(t), never())
	srv.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	told := 0
	for m, err := range b.Parked(ctx, "") {
		told++
		if m != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("told of %v, %v", m, err)
		}
	}
	if told != 1 {
		t.Errorf("told of %d", told)
	}
	if _, err := b.ParkedMessage(ctx, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("message: %v", err)
	}
	if err := b.Discard(ctx, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("discard: %v", err)
	}
}

// FuzzDescribe: whatever a message holds, what is told of it is printable, bounded
// and in one line.
func FuzzDescribe(f *testing.F) {
	f.Add("rekindle.v1.parked.job.SE1", "no use", "dev.rekindle.v1.RefreshDue", "1", []byte(`{"secret":"SE1","decision":12}`))
	f.Add("rekindle.v1.parked.ä", "\x1b[2J\u009b", "%1b%zz", "%E4", []byte(`{ "a" : [1], "B": {}, "": null }`))
	f.Add("", "", "", "", []byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, subject, reason, kind, id string, body []byte) {
		m := describe(subject, nats.Header{
			headerReason: {reason}, events.HeaderType: {kind}, events.HeaderID: {id}, events.HeaderTrace: {id}, headerDeliveries: {id},
		}, 1, time.Time{}, len(body))
		m.Members = members(body)
		shown := []string{m.Lane, m.Secret, m.Reason, m.Type, m.Message, m.Trace}
		for name, kind := range m.Members {
			shown = append(shown, name, kind)
		}
		for _, text := range shown {
			if len(text) > 512 || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is told of", text)
			}
		}
	})
}
