package bus

import (
	"encoding/json"
	"net/textproto"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// FuzzServerSays: whatever comes in the place of an answer of the server, or in
// the header of a message, is read or refused.
func FuzzServerSays(f *testing.F) {
	const reply = "$JS.ACK.JOBS.exchanger.1.2.3.1792567680000000000.4"
	for _, header := range []string{
		"", "Status: 100\nNats-Last-Consumer: 7\nNats-Last-Stream: 9", "Status: 409\nDescription: Message Size Exceeds MaxBytes\nNats-Pending-Messages: 1",
		"Status: 204\nNats-Last-Sequence: 0\nNats-Num-Pending: 3", "Status: 503",
		jetstream.StreamHeader + ": EVENTS\n" + jetstream.SequenceHeader + ": 8\n" + jetstream.LastSequenceHeader + ": 7\n" + jetstream.TimeStampHeaer + ": 2026-01-02T03:04:05.678Z",
		jetstream.SequenceHeader + ": 99999999999999999999\n" + jetstream.SequenceHeader + ": x",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n" + headerSize + ": 12",
	} {
		f.Add(reply, header, uint64(7), []byte(`{"stream":"KV_state","seq":12}`))
	}
	f.Add("$JS.ACK.x", "", uint64(0), []byte(`{"error":{"code":400,"err_code":10071}}`))
	f.Add("", "", uint64(0), []byte(`null`))
	f.Add("", "Status: 404", uint64(0), []byte(nil))
	f.Add("", "Status: 408\nDescription: Bad Request", uint64(0), []byte(`{"stream":"KV_state","domain":"leaf","seq":18446744073709551615,"duplicate":true}`))
	f.Add("", "", uint64(0), []byte(`{"seq":12}`))
	f.Fuzz(func(t *testing.T, reply, header string, last uint64, body []byte) {
		m := &nats.Msg{Subject: "rekindle.v1.job.SE1", Reply: reply, Header: nats.Header{}, Data: body, Sub: new(nats.Subscription)}
		for line := range strings.Lines(header) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			m.Header[textproto.CanonicalMIMEHeaderKey(name)] = append(m.Header[textproto.CanonicalMIMEHeaderKey(name)], value)
		}
		if end, more, err := endOfRange(m, last); more && (!end || err != nil) {
			t.Errorf("more, but end %t and %v", end, err)
		}
		if entry, err := entryOf(m, last); err == nil && (entry.Event.Data == nil) != (entry.Err != nil) {
			t.Errorf("event %v, error %v", entry.Event.Data, entry.Err)
		}
		if got, err := status(m); got == nil && err == nil {
			t.Error("neither a message nor an error")
		}
		if told, err := read(m, last); (told == nil) != (err != nil) {
			t.Errorf("told %v, error %v", told, err)
		}
		if err := erased(body); err == nil && !strings.Contains(string(body), "true") {
			t.Errorf("erased by %q", body)
		}
		if sequence, err := stored(body); err != nil && sequence != 0 {
			t.Errorf("sequence %d besides %v", sequence, err)
		}
		if sequence, plain := plainAck(body); plain {
			var ack jetstream.PubAck
			if err := json.Unmarshal(body, &ack); err != nil || ack != (jetstream.PubAck{Stream: ack.Stream, Sequence: sequence}) || ack.Stream == "" {
				t.Errorf("%d in %+v, %v", sequence, ack, err)
			}
		}
		if sequence, err := found(m); err != nil && sequence != 0 {
			t.Errorf("sequence %d besides %v", sequence, err)
		}
		_ = complete(m, last)
		traced(t.Context(), m.Header)
	})
}

// FuzzVersion: a version has three numbers.
func FuzzVersion(f *testing.F) {
	for _, s := range []string{"2.15.2", "v2.12.0-RC.1", "2..1", "99999999999999999999.0.0", "-1.0.0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, ok := version(s); ok && strings.Count(strings.Split(s, "-")[0], ".") != len(v)-1 {
			t.Errorf("%q is %v", s, v)
		}
	})
}
