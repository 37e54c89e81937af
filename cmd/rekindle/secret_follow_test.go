package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// polled is an answer to a follower: what happened, or an error.
type polled struct {
	events []string
	err    error
}

// follow plays answers to a follower, and returns what it told, noted and waited
// for before each question, in seconds.
func follow(ctx context.Context, before []string, answers ...polled) (told []string, notes int, pauses []int, err error) {
	line := func(events []string, after string) client.Timeline {
		l := client.Timeline{After: after}
		for _, event := range events {
			var e client.TimelineEntry
			e.Attributes.Event = event
			l.Entries = append(l.Entries, e)
		}
		return l
	}
	asked, last := 0, time.Now()
	f := follower{
		ask: func(_ context.Context, after string) (client.Timeline, error) {
			pauses = append(pauses, int(time.Since(last).Seconds()))
			last = time.Now()
			if asked == len(answers) {
				return client.Timeline{}, fmt.Errorf("question %d, after %s, was not expected", asked, after)
			}
			asked++
			return line(answers[asked-1].events, fmt.Sprint(asked)), answers[asked-1].err
		},
		tell: func(entries []client.TimelineEntry) {
			for _, e := range entries {
				told = append(told, e.Attributes.Event)
			}
		},
		note: func(string) { notes++ },
	}
	err = f.run(ctx, line(before, "0"))
	return told, notes, pauses, err
}

// TestFollowEnds: with the end of the secret, wherever in an answer that is told.
func TestFollowEnds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before  []string
		answers []polled
		want    []string
	}{
		"before":           {[]string{"SecretCreated", "SecretDeleted"}, nil, nil},
		"before, not last": {[]string{"SecretDeleted", "ExchangeFailed"}, nil, nil},
		"meanwhile":        {nil, []polled{{}, {events: []string{"SecretDeleted"}}}, []string{"SecretDeleted"}},
		"not as the last":  {nil, []polled{{events: []string{"SecretDeleted", "ExchangeFailed"}}}, []string{"SecretDeleted", "ExchangeFailed"}},
		"after other things": {
			nil,
			[]polled{{events: []string{"SecretTested"}}, {events: []string{"SecretDeleted"}}},
			[]string{"SecretTested", "SecretDeleted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				told, notes, _, err := follow(t.Context(), tt.before, tt.answers...)
				if err != nil || notes != 0 || !slices.Equal(told, tt.want) {
					t.Errorf("told %v, want %v; %d notes, error %v", told, tt.want, notes, err)
				}
			})
		})
	}
}

// TestFollowSurvives: what may pass is waited out, ever more patiently, and noted
// once when it begins and once when it is over.
func TestFollowSurvives(t *testing.T) {
	t.Parallel()
	end := polled{events: []string{"SecretDeleted"}}
	for name, failure := range map[string]error{
		"unreachable": &url.Error{Op: "Get", Err: &net.OpError{Op: "dial", Err: errors.New("refused")}},
		"broken off":  fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF),
		"reset":       fmt.Errorf("read the answer: %w", &net.OpError{Op: "read", Err: errors.New("reset")}),
		"throttled":   &client.Error{Status: http.StatusTooManyRequests},
		"internal":    &client.Error{Status: http.StatusInternalServerError},
		"not ready":   &client.Error{Status: http.StatusServiceUnavailable},
		"a proxy":     &client.ForeignError{Status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fails := polled{err: failure}
				answers := []polled{fails, fails, fails, fails, fails, fails, fails, {}, fails, end}
				told, notes, pauses, err := follow(t.Context(), nil, answers...)
				if err != nil || notes != 4 || !slices.Equal(told, end.events) {
					t.Errorf("told %v; %d notes, error %v", told, notes, err)
				}
				if want := []int{1, 2, 4, 8, 16, 30, 30, 30, 1, 2}; !slices.Equal(pauses, want) {
					t.Errorf("pauses of %v s, want %v", pauses, want)
				}
			})
		})
	}
}

// TestFollowGivesUp: what no patience helps against ends it, with the error.
func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{
		&client.Error{Status: http.StatusUnauthorized},
		&client.Error{Status: http.StatusForbidden},
		&client.Error{Status: http.StatusNotFound},
		&client.Error{Status: http.StatusBadRequest},
		&client.ForeignError{Status: http.StatusOK},
		errors.New("of a form that is not known here"),
	} {
		synctest.Test(t, func(t *testing.T) {
			if _, notes, _, err := follow(t.Context(), nil, polled{err: failure}); !errors.Is(err, failure) || notes != 0 {
				t.Errorf("error %v, want %v; %d notes", err, failure, notes)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, _, pauses, err := follow(ctx, nil); err != nil || pauses != nil {
			t.Errorf("interrupted: error %v after %v", err, pauses)
		}
	})
}
