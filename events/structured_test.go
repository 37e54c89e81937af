package events

import (
	"errors"
	"testing"
	"time"
)

// TestStructured: members and attributes that are not known are passed on, on one line, and what is no
// event is none in this form either.
func TestStructured(t *testing.T) {
	t.Parallel()
	e := Event{ID: "i\n1", Source: "/s", Org: "o@x", Time: time.Date(2026, 11, 22, 9, 0, 0, 5e6, time.FixedZone("", 3600)), Data: RetryRequested{Secret: "SE1"}, Trace: "00-1-2-01"}
	h, _, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	h["ce-dataschema"], h["ce-later1"] = []string{"https://x.test/s"}, []string{"a%0A%22b"}
	h["ce-data"], h["ce-No"], h["ce-"], h["ce-bad"], h["later"] = []string{"x"}, []string{"x"}, []string{"x"}, []string{"%"}, []string{"x"}
	entry := ReadEntry(7, e.Time, EventSubject(e.Org, e.Data.Type(), "SE1"), h, []byte("{\"secret\" : \"SE1\",\n \"new\":[1,\r\n2]}"))
	got, err := Structured(entry)
	const want = `{"specversion":"1.0","id":"i\n1","source":"/s","type":"dev.rekindle.v1.RetryRequested","subject":"SE1","time":"2026-11-22T08:00:00.005Z",` +
		`"datacontenttype":"application/json","org":"o@x","traceparent":"00-1-2-01","dataschema":"https://x.test/s","later1":"a\n\"b","data":{"secret":"SE1","new":[1,2]}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	unknown := ReadEntry(8, e.Time, "rekindle.v1.event.o.New.SE1", Header{HeaderSpecVersion: {"1.0"}, HeaderTime: {"2026-11-22T08:00:00Z"}, HeaderType: {TypePrefix + "New"}}, []byte("{}"))
	if _, err := Structured(unknown); !errors.Is(err, ErrUnknownType) {
		t.Errorf("of a type that is not known: %v", err)
	}
	if _, err := Structured(Entry{}); err == nil {
		t.Error("of nothing: no error")
	}
}
