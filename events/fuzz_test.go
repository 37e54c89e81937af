package events_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
)

// FuzzReadEntry: whatever is stored under a subject makes an entry, and one that
// is of an organisation or a secret other than the subject's shows nothing of it.
func FuzzReadEntry(f *testing.F) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		h, body := readGolden(f, path)
		e, err := events.Decode(h, body)
		if err != nil {
			f.Fatal(err)
		}
		headers, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(events.EventSubject(e.Org, e.Data.Type(), e.Data.About()), headers, body)
		f.Add(events.EventSubject("another", e.Data.Type(), e.Data.About()), headers, body)
		f.Add("rekindle.v1.event..", headers, body[1:])
	}
	f.Fuzz(func(t *testing.T, subject string, headers, body []byte) {
		var h events.Header
		if json.Unmarshal(headers, &h) != nil {
			return
		}
		e := events.ReadEntry(7, time.Time{}, subject, h, body)
		if (e.Event.Data == nil) != (e.Err != nil) {
			t.Fatalf("event %v, error %v", e.Event.Data, e.Err)
		}
		a, _ := events.ReadAttributes(e.Header)
		if own, err := a.EventSubject(); e.Header != nil && (err != nil || own != subject) {
			t.Errorf("what belongs to %q is passed on under %q", own, subject)
		}
		if d := e.Event.Data; d != nil && (d.Type() != e.Type || events.EventSubject(e.Event.Org, d.Type(), d.About()) != subject) {
			t.Errorf("%s of %q shows under %q", d.Type(), e.Event.Org, subject)
		}
	})
}

// FuzzJob: a job's body that can be read can be written, and is read the same.
func FuzzJob(f *testing.F) {
	f.Add([]byte(`{"secret":"SE1","action":"refresh","decision":12,"due_at":"2026-01-02T03:04:05Z","tomorrow":[]}`))
	f.Add([]byte(`{"secret":"SE1","key":"a2V5","before":"2026-01-02T03:04:05+01:00"}`))
	f.Add([]byte(`{"decision":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		due, err := events.DecodeRefreshDue(body)
		if err == nil {
			again(t, due, events.DecodeRefreshDue)
		}
		test, err := events.DecodeTestRequested(body)
		if err == nil {
			again(t, test, events.DecodeTestRequested)
		}
	})
}

func again[T any](t *testing.T, v T, decode func([]byte) (T, error)) {
	t.Helper()
	first, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("read, but cannot be written: %v", err)
	}
	read, err := decode(first)
	if err != nil {
		t.Fatalf("%s cannot be read again: %v", first, err)
	}
	if second, err := json.Marshal(read); err != nil || !bytes.Equal(first, second) {
		t.Errorf("%v: %s became %s", err, first, second)
	}
}
