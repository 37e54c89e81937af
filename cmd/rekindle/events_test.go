package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// TestTailGoesOn: with whatever errors a stream is cut off, after whichever event, the next
// one begins right behind it, so that everything is told once.
func TestTailGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 40
		cuts := []error{nil, io.ErrUnexpectedEOF, &client.Error{Status: http.StatusServiceUnavailable}, &client.ForeignError{Status: http.StatusBadGateway}}
		asked := 0
		ask := func(_ context.Context, q client.EventQuery, tell func(client.Message) error) error {
			asked++
			from, err := strconv.Atoi(q.After)
			if err != nil || q.Since != "2h" {
				return err
			}
			for n := from + 1; n <= from+asked%4; n++ {
				if err := tell(event(n)); err != nil {
					return err
				}
			}
			return cuts[asked%len(cuts)]
		}
		var out, notes bytes.Buffer
		tail := &eventTail{
			session: &session{remote: &remote{output: outputID}, out: &out, err: &notes}, ask: ask,
			flags: tailFlags{most: all}, query: client.EventQuery{After: "0", Since: "2h"},
		}
		if err := tail.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		for n := range all {
			fmt.Fprintln(&want, n+1)
		}
		if out.String() != want.String() {
			t.Errorf("told %q after %d questions", out.String(), asked)
		}
		if !strings.Contains(notes.String(), "what happens meanwhile is told later") {
			t.Errorf("noted %q", notes.String())
		}
	})
}

func event(n int) client.Message {
	return client.Message{Place: fmt.Sprint(n), Type: "RetryRequested", Data: []byte(`{"subject":"SE1","time":"2026-11-22T08:00:00Z","data":{"secret":"SE1","name":"crm"}}`)}
}

// TestTailEnds: with what it would be no use to ask again, when it is interrupted, and at
// the present if that was asked for; between questions that fail it waits longer and longer.
func TestTailEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		run := func(ctx context.Context, f tailFlags, answers ...error) (string, int, error) {
			var out bytes.Buffer
			asked := 0
			tail := &eventTail{session: &session{remote: &remote{}, out: &out, err: &out}, flags: f, names: map[string]string{}}
			tail.ask = func(_ context.Context, _ client.EventQuery, tell func(client.Message) error) error {
				asked++
				if asked <= len(answers) {
					return answers[asked-1]
				}
				for _, m := range []client.Message{{Type: client.MessageGap, Data: []byte(`{"reason":"expired","missing_at_most":7,"oldest_at":null}`)}, event(8), {Type: client.MessagePresent, Place: "9", Data: []byte("{}")}, event(10)} {
					if err := tell(m); err != nil {
						return err
					}
				}
				return nil
			}
			err := tail.run(ctx)
			return out.String(), asked, err
		}
		began := time.Now()
		away := &client.Error{Status: http.StatusServiceUnavailable}
		out, asked, err := run(t.Context(), tailFlags{untilNow: true}, away, away, away, away, away, away, away)
		want := "events are missing here: they are not kept any more; of all organisations, 7 at the most\n2026-11-22T08:00:00Z   retry requested          crm                        -\n"
		if err != nil || asked != 8 || !strings.HasSuffix(out, want) || strings.Count(out, "told later") != 1 {
			t.Errorf("told %q, %v after %d questions", out, err, asked)
		}
		if took := time.Since(began); took != (1+2+4+8+16+30+30)*time.Second {
			t.Errorf("it waited for %v in all", took)
		}
		refused := &client.Error{Status: http.StatusForbidden}
		if _, asked, err := run(t.Context(), tailFlags{}, refused); !errors.Is(err, refused) || asked != 1 {
			t.Errorf("refused: %v after %d questions", err, asked)
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if _, asked, err := run(ctx, tailFlags{}, away, away, away, away, away); err != nil || asked != 4 {
			t.Errorf("interrupted: %v after %d questions", err, asked)
		}
	})
}

// TestTailBeginsWhenItWasBegun, though no server answers then: what happens meanwhile is told.
func TestTailBeginsWhenItWasBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, row := range []struct {
			query client.EventQuery
			want  []client.EventQuery
		}{
			{client.EventQuery{}, []client.EventQuery{{}, {Since: "1s"}, {Since: "3s"}, {Since: "3s", After: "8"}}},
			{client.EventQuery{Since: "2h"}, []client.EventQuery{{Since: "2h"}, {Since: "2h"}, {Since: "2h"}, {Since: "2h", After: "8"}}},
			{client.EventQuery{After: "7"}, []client.EventQuery{{After: "7"}, {After: "7"}, {After: "7"}, {After: "8"}}},
		} {
			var asked []client.EventQuery
			tail := &eventTail{
				session: &session{remote: &remote{}, out: io.Discard, err: io.Discard}, names: map[string]string{},
				query: row.query, flags: tailFlags{since: row.query.Since, from: row.query.After},
			}
			tail.ask = func(_ context.Context, q client.EventQuery, tell func(client.Message) error) error {
				switch asked = append(asked, q); len(asked) {
				case 3:
					return tell(event(8))
				case 4:
					return errTold
				}
				return &client.Error{Status: http.StatusServiceUnavailable}
			}
			if err := tail.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, asked); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", row.query, diff)
			}
		}
	})
}

// FuzzTellEvent: whatever a server tells of, it is printed on one line, or it is an error.
func FuzzTellEvent(f *testing.F) {
	f.Add("RetryRequested", []byte(`{"subject":"SE1","time":"2026-11-22T08:00:00Z","data":{"secret":"SE1","name":"crm\n\u001b[31m"}}`))
	f.Add("ExchangeFailed", []byte(`{"data":{"action":"refresh","reason":"timeout","next_attempt_at":"2026-11-22T08:00:00Z","name":"n"}}`))
	f.Add("gap", []byte(`{"reason":"set_back","missing_at_most":18446744073709551615,"oldest_at":"2026-11-22T08:00:00Z"}`))
	f.Add("\x00", []byte(`null`))
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		var out bytes.Buffer
		tail := &eventTail{session: &session{remote: &remote{}, out: &out, err: &out}, names: map[string]string{}}
		tail.client = client.New("http://127.0.0.1:1", "")
		ctx, stop := context.WithCancel(t.Context())
		stop() // nobody is asked for a name
		if err := tail.tell(ctx, client.Message{Type: typ, Data: data}); err != nil {
			return
		}
		if lines := strings.Count(out.String(), "\n"); lines > 1 || strings.ContainsRune(out.String(), '\x1b') {
			t.Errorf("printed %q", out.String())
		}
	})
}
