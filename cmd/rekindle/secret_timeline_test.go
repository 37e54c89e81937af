package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

func TestWhat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ event, action, want string }{
		{"SecretCreated", "", "secret created"},
		{"ExchangeFailed", "refresh", "refresh failed"},
		{"ExchangeInterrupted", "", "exchange interrupted"},
		{"ReauthorizationDue", "refresh", "reauthorization due"},
		{"", "", ""},
	} {
		if got := what(test.event, test.action); got != test.want {
			t.Errorf("%s of %q is %q, want %q", test.event, test.action, got, test.want)
		}
	}
}

// TestUntold: what was stored twice is told once, also in a later answer; what
// has no id is told each time.
func TestUntold(t *testing.T) {
	t.Parallel()
	entries := func(ids string) (list []client.TimelineEntry) {
		for id := range strings.SplitSeq(ids, ",") {
			var e client.TimelineEntry
			e.Attributes.EventID = id
			list = append(list, e)
		}
		return list
	}
	told := map[string]bool{}
	for _, test := range []struct{ given, want string }{{"a,b,a,,c,", "a,b,,c,"}, {"c,d,", "d,"}} {
		var got []string
		for _, e := range untold(entries(test.given), told) {
			got = append(got, e.Attributes.EventID)
		}
		if strings.Join(got, ",") != test.want {
			t.Errorf("of %q is told %q, want %q", test.given, got, test.want)
		}
	}
}

// What strangers wrote stays in its line.
func TestPrintEntry(t *testing.T) {
	t.Parallel()
	var e client.TimelineEntry
	e.Attributes.Event, e.Attributes.By, e.Attributes.Detail = "Secret\x1b[2J", "a\nb", "one\r\ntwo\ttabs"
	var out bytes.Buffer
	printEntry(&out, e)
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\r\t") {
		t.Errorf("printed %q", text)
	}
}
