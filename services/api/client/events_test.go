package client

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// TestReadMessages reads streams as WHATWG HTML, section 9.2.6, says.
func TestReadMessages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Message{
		"id: 7\nevent: RetryRequested\ndata: {}\n\n":              {{"7", "RetryRequested", []byte("{}")}},
		"retry: 3000\n\n:\n\n: a comment\nid: 8\n\n":              {{"8", "", []byte{}}},
		"data: a\r\ndata:b\r\ndata:\r\n\r\nevent:x\rdata:  c\r\r": {{"", "message", []byte("a\nb\n")}, {"", "x", []byte(" c")}},
		"\ufeffdata: a\n\n":                       {{"", "message", []byte("a")}},
		"data: not at its end\n":                  nil,
		"data: nor this":                          nil,
		"id: 1\x002\ndata: a\nother: b\nid\n\n\n": {{"", "message", []byte("a")}},
		"": nil,
	} {
		var got []Message
		if err := readMessages(strings.NewReader(text), func(m Message) error { got = append(got, m); return nil }); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// TestMessagesAreBounded: a server that sends no end of one is not listened to.
func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"data: " + strings.Repeat("x", maxMessage), strings.Repeat("data: xxxxxxxx\n", maxMessage/8)} {
		if err := readMessages(strings.NewReader(text), func(Message) error { return nil }); !errors.Is(err, errMessage) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}

// FuzzReadMessages: whatever a server sends is read in the same way in whichever pieces it
// comes, and a message has no more than was sent.
func FuzzReadMessages(f *testing.F) {
	f.Add([]byte("retry: 1\n\nid: 41\nevent: present\ndata: {}\n\n:\n\n"))
	f.Add([]byte("data: a\r\ndata: b\r\n\r\n\rid:\x00\n\n"))
	f.Add([]byte("\xef\xbb\xbfdata\ndata\n\nevent\n\n:"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var whole, pieces []Message
		size := 0
		wholeErr := readMessages(bytes.NewReader(body), func(m Message) error {
			whole, size = append(whole, m), size+len(m.Place)+len(m.Type)+len(m.Data)
			return nil
		})
		piecesErr := readMessages(iotest.OneByteReader(bytes.NewReader(body)), func(m Message) error { pieces = append(pieces, m); return nil })
		if !errors.Is(piecesErr, wholeErr) || !slices.EqualFunc(whole, pieces, func(a, b Message) bool { return cmp.Equal(a, b) }) {
			t.Errorf("%v, %v as a whole; %v, %v in pieces", whole, wholeErr, pieces, piecesErr)
		}
		if size > len(body)+len("message")*len(whole) {
			t.Errorf("%d bytes of %d", size, len(body))
		}
	})
}
