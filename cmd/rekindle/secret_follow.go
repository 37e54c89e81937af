package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// Between two questions for what has happened meanwhile there is followPause, and
// up to mostFollowPause while they fail.
const (
	followPause     = time.Second
	mostFollowPause = 30 * time.Second
)

// follower tells what comes to a time-line.
type follower struct {
	ask  func(ctx context.Context, after string) (client.Timeline, error)
	tell func([]client.TimelineEntry)
	note func(string) // what a person is told besides
}

// run follows a time-line behind what is known of it. It returns nil when the
// secret is deleted or ctx has ended, and the error of a question that it would be
// no use to repeat.
func (f *follower) run(ctx context.Context, known client.Timeline) error {
	for pause := followPause; !tellsEnd(known); {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		line, err := f.ask(ctx, known.After)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !mayPass(err):
			return err
		case err != nil && pause == followPause:
			f.note("what happens meanwhile is told later, for the server cannot be asked: " + brief(err))
			pause = 2 * pause
		case err != nil:
			pause = min(2*pause, mostFollowPause)
		default:
			if pause > followPause {
				f.note("the server can be asked again")
			}
			pause, known = followPause, line
			f.tell(line.Entries)
		}
	}
	return nil
}

// brief leaves the URL of a question out of an error.
func brief(err error) string {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return err.Error()
}

// tellsEnd reports whether a part of a time-line has the end of the secret in it.
// Something may come behind that: the outcome of an exchange that was under way, or
// what was told twice.
func tellsEnd(line client.Timeline) bool {
	return slices.ContainsFunc(line.Entries, func(e client.TimelineEntry) bool { return e.Attributes.Event == "SecretDeleted" })
}

// mayPass reports whether the same question may be answered later: no server
// answered it, or one that had too much to do or was not well.
func mayPass(err error) bool {
	if answer, ok := errors.AsType[*client.Error](err); ok {
		return passing(answer.Status)
	}
	if answer, ok := errors.AsType[*client.ForeignError](err); ok {
		return passing(answer.Status)
	}
	_, unreachable := errors.AsType[net.Error](err)
	return unreachable || errors.Is(err, io.ErrUnexpectedEOF)
}

func passing(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}
