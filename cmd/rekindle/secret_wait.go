package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// waiting is whether and how long a command waits for what it began.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) bind(c *cobra.Command) {
	c.Flags().BoolVar(&w.wait, "wait", false, "wait until it is no longer pending; a failure is then the exit code, too")
	c.Flags().DurationVar(&w.timeout, "timeout", 5*time.Minute, "how long to wait")
}

// How often a secret is asked for that is waited for.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
)

// finish ends a command that began something with a secret: a person is told
// where to consent, what was begun is waited for if it is to be, and the secret
// is printed.
func (s *session) finish(ctx context.Context, one client.Secret, w waiting) error {
	s.announce(one)
	if !w.wait {
		s.printSecret(one)
		return nil
	}
	after, err := s.await(ctx, one, w.timeout)
	if err != nil {
		return err
	}
	s.printSecret(after)
	return failure(one, after, s.now())
}

// announce tells a person where to consent, while the secret waits for that: the
// answer to any other change may have a URL, too. It is not printed with the
// answer, which may be for a program.
func (s *session) announce(one client.Secret) {
	if url := one.Meta.AuthorizationURL; url != "" && one.Attributes.Status == "pending" {
		fmt.Fprintf(s.err, "open this in a browser, before %s:\n\n  %s\n\n", moment(one.Meta.AuthorizationURLExpiresAt, s.now()), oneLine(url))
	}
}

// await asks for a secret until it is not pending any more.
func (s *session) await(ctx context.Context, one client.Secret, timeout time.Duration) (client.Secret, error) {
	late := time.NewTimer(timeout)
	defer late.Stop()
	began := s.now()
	defer s.progress("")
	for pause := firstPause; one.Attributes.Status == "pending"; pause = min(2*pause, mostPause) {
		s.progress(fmt.Sprintf("%s is pending, %s", one.Attributes.Name, roughly(s.now().Sub(began))))
		select {
		case <-time.After(pause):
		case <-late.C:
			return one, fmt.Errorf("%s is still pending after %s", one.Attributes.Name, timeout)
		case <-ctx.Done():
			return one, ctx.Err()
		}
		var err error
		if one, err = s.client.Secret(ctx, one.ID.ID); err != nil {
			return one, err
		}
	}
	return one, nil
}

// progress shows a line on a terminal that the next one replaces.
func (s *session) progress(text string) {
	if _, ok := terminal(s.err); ok {
		fmt.Fprint(s.err, "\r"+ansiClear+oneLine(text))
	}
}

// failure is the error of a secret that was waited for: how it stood before, and
// stands now. What went wrong before that is old news.
func failure(before, after client.Secret, now time.Time) error {
	name, meta := after.Attributes.Name, after.Meta
	switch held, until := meta.AuthorizationHeldAt, before.Meta.AuthorizationURLExpiresAt; {
	case held != nil && (before.Meta.AuthorizationHeldAt == nil || held.After(*before.Meta.AuthorizationHeldAt)):
		return errors.New(name + ": the consent is held, for another account than before gave it")
	case after.Attributes.Status == "failed":
		return fmt.Errorf("%s %s", name, because("failed", meta.StatusDetails))
	case meta.AuthorizationStatusDetails.ID() != before.Meta.AuthorizationStatusDetails.ID() && meta.AuthorizationStatusDetails.ID() != "":
		return fmt.Errorf("%s %s", name, because("was not authorized", meta.AuthorizationStatusDetails))
	case until != nil && !until.After(now):
		return errors.New(name + " was not authorized: nobody has consented in time")
	default:
		return nil
	}
}
