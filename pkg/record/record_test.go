package record_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/record"
)

type kind string

// shouted reads itself.
type shouted string

func (s *shouted) UnmarshalText(b []byte) error {
	*s = shouted(string(b) + "!")
	return nil
}

type inner struct {
	Name string    `json:"name"`
	At   time.Time `json:"at,omitzero"`
	Deep *inner    `json:"deep,omitempty"`
}

type outer struct {
	ID      string            `json:"id"`
	Kind    kind              `json:"kind"`
	Loud    shouted           `json:"loud"`
	Count   uint64            `json:"count"`
	Left    int               `json:"left"`
	Small   uint8             `json:"small"`
	Share   float64           `json:"share"`
	Late    bool              `json:"late,omitempty"`
	At      time.Time         `json:"at,omitzero"`
	Until   *time.Time        `json:"until"`
	Sealed  []byte            `json:"sealed"`
	Raw     json.RawMessage   `json:"raw"`
	Options map[string]string `json:"options"`
	List    []inner           `json:"list"`
	In      inner             `json:"in"`
	To      *inner            `json:"to"`
	Offset  *int64            `json:"offset"`
	Any     any               `json:"any"`
	Hidden  string            `json:"-"`
}

// embedding has members that follow rules of their own.
type embedding struct {
	inner

	Text int `json:"text,string"`
}

var seeds = []string{
	`{"id":"a","kind":"k","loud":"l","count":18446744073709551615,"left":-3,"small":255,"share":1e3,"late":true,"at":"2026-01-02T03:04:05.678Z","until":"2026-01-02T03:04:05+01:00","sealed":"c2VhbGVk","raw":{"a":[1,"}"]},"options":{"a":"b"},"list":[{"name":"x"}],"in":{"name":"y","at":"2026-01-02T03:04:05Z","deep":{"name":"z"}},"to":{"deep":{"deep":{}}},"offset":7,"any":[{}]}`,
	`{"id":"\u00fc\"\\","kind":"ü","sealed":"","in":{},"to":{}}`, `{"name":"n","text":"1"}`, `{"text":1}`,
	`{"late":true,"late":null,"id":"a","id":null,"to":{"name":"a"},"to":{"at":"2026-01-02T03:04:05Z"},"to":null,"sealed":"AA==","sealed":null}`,
	`{"ID":"a"}`, `{"id":"a","Id":"b"}`, `{"unknown":{"a":[]},"id":"a"}`, ` { "id" : "a" } `, `{"count":1 , "id":"a"}`,
	`{"small":256}`, `{"count":-1}`, `{"count":01}`, `{"count":1.0}`, `{"left":9223372036854775808}`, `{"late":"true"}`, `{"at":1}`, `{"at":null}`,
	`{"sealed":"A"}`, `{"sealed":[1]}`, "{\"sealed\":\"AA\n==\"}", "{\"id\":\"\x01\"}", "{\"id\":\"\xff\"}", `{"id":"a",}`, `{,}`, `{"id"}`, `{"id":}`, `{"id":"a"}}`, `{id:1}`,
	`{`, `{"id":"a`, `{"raw":[}`, `{"in":[]}`, `null`, `[]`, `"a"`, ``, `{}`,
}

// FuzzDecode: what is read, and what is refused, is the same as by encoding/json.
func FuzzDecode(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	out, in := record.Of[outer](), record.Of[embedding]()
	f.Fuzz(func(t *testing.T, body []byte) {
		same(t, out, body)
		same(t, in, body)
	})
}

func same[T any](t *testing.T, form record.Form[T], body []byte) {
	t.Helper()
	got, err := form.Decode(body)
	want := new(T)
	wantErr := json.Unmarshal(body, want)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, want %v", body, err, wantErr)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(embedding{})); err == nil && diff != "" {
		t.Errorf("%q: %s", body, diff)
	}
}
