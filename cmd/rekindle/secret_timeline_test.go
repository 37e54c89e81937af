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
		{"CredentialExpired", "", "credential expired"},
		{"ReauthorizationDue", "refresh", "reauthorization due"},
		{"", "", ""},
	} {
		if got := what(test.event, test.action); got != test.want {
			t.Errorf("%s of %q is %q, want %q", test.event, test.action, got, test.want)
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
