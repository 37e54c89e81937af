package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// eventStream is the media type of a stream of events.
const eventStream = "text/event-stream"

const (
	// silence is how long a stream may be silent: the server breaks a silence after 15 s.
	silence = 45 * time.Second
	// maxMessage bounds a message of a stream, in bytes: an event has 64 KiB.
	maxMessage = 1 << 20
)

// errMessage: a stream that is not one of a server of Rekindle.
var errMessage = fmt.Errorf("a message of the stream has more than %d bytes", maxMessage)

// EventQuery says which events are wanted, and from where on.
type EventQuery struct {
	Types, Secrets, Properties []string
	// Since is a time, or how long ago it was, like 2h. After is the place of an event,
	// behind which it begins whatever Since says. Without either it begins now.
	Since, After string
}

func (q EventQuery) query() url.Values {
	values := url.Values{}
	for name, wanted := range map[string][]string{"type_of": q.Types, "secret": q.Secrets, "property": q.Properties} {
		if len(wanted) > 0 {
			values.Set("filter["+name+"]", "EQ "+strings.Join(wanted, ","))
		}
	}
	if q.Since != "" {
		values.Set("since", q.Since)
	}
	return values
}

// Message is one message of a stream of events.
type Message struct {
	// Place is where to go on behind it; "" when it does not say.
	Place string
	// Type is the type of an event, or one of those below; "" when there is nothing but a
	// place.
	Type string
	// Data is the event as a CloudEvent in JSON.
	Data json.RawMessage
}

// The messages that are no events.
const (
	// MessagePresent: what there was when the stream began has been told.
	MessagePresent = "present"
	// MessageGap: what was asked for is not kept any more.
	MessageGap = "gap"
)

// Events tells what happens, in order, until the stream ends or tell returns an error,
// which it returns. Streams end, for many reasons: whoever asks again behind the last place
// misses nothing. An end is nil; one that is none of the server's is io.ErrUnexpectedEOF.
func (c *Client) Events(ctx context.Context, q EventQuery, tell func(Message) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := time.AfterFunc(silence, cancel)
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/events?"+q.query().Encode(), nil)
	if err != nil {
		return err
	}
	c.sign(req)
	req.Header.Set("Accept", eventStream)
	if q.After != "" {
		req.Header.Set("Last-Event-ID", q.After)
	}
	forever := &http.Client{Transport: c.http.Transport} // a stream has no end to wait for
	resp, err := forever.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if sent, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || err != nil || sent != eventStream {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return c.problem(resp, answer)
	}
	err = readMessages(heard{resp.Body, watch}, tell)
	if errors.Is(err, context.Canceled) {
		return io.ErrUnexpectedEOF // it was silent; whoever asked knows if it was his own doing
	}
	return err
}

// heard notes when something was read.
type heard struct {
	io.Reader
	watch *time.Timer
}

func (h heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	h.watch.Reset(silence)
	return n, err
}

// readMessages reads a stream (WHATWG HTML, section 9.2.6) until its end, which is nil, or an
// error. Fields that it does not know are ignored, and so is a message that has not come to
// its end.
func readMessages(r io.Reader, tell func(Message) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxMessage)
	lines.Split(splitLine)
	var m Message
	var data [][]byte
	size := 0
	for first := true; lines.Scan(); first = false {
		line := lines.Bytes()
		if first {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			m.Data = bytes.Join(data, []byte("\n"))
			switch {
			case len(data) == 0:
				m.Type = "" // without data it is none
			case m.Type == "":
				m.Type = "message"
			}
			if m.Type != "" || m.Place != "" {
				if err := tell(m); err != nil {
					return err
				}
			}
			m, data, size = Message{}, nil, 0
			continue
		}
		if size += len(line); size > maxMessage {
			return errMessage
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if !bytes.Contains(value, []byte{0}) {
				m.Place = string(value)
			}
		case "event":
			m.Type = string(value)
		case "data":
			data = append(data, bytes.Clone(value))
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errMessage
	}
	return lines.Err()
}

// splitLine splits at a line feed, a carriage return, or both.
func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	at := bytes.IndexAny(data, "\r\n")
	switch {
	case at < 0:
		return 0, nil, nil // what has not come to its end is no line
	case data[at] == '\n':
		return at + 1, data[:at], nil
	case at+1 < len(data) && data[at+1] == '\n':
		return at + 2, data[:at], nil
	case at+1 == len(data) && !atEOF:
		return 0, nil, nil // a line feed may follow
	default:
		return at + 1, data[:at], nil
	}
}
