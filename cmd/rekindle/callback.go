package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newCallback() *cobra.Command {
	return group(cobra.Command{
		Use:   "callback",
		Short: "Have a URL told of what happens in a property",
		Long: "Have a URL told of what happens in a property, by signed POSTs. Callbacks are told by\n" +
			"their id. What receivers have to do is in docs/callbacks.md.",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(newCallbackCreate(r), newCallbackList(r), newCallbackShow(r), newCallbackTest(r),
			newCallbackDeliveries(r), newCallbackRedeliver(r), newCallbackReplay(r), newCallbackRotate(r), newCallbackDelete(r))
	})
}

func newCallbackCreate(r *remote) *cobra.Command {
	var n client.NewCallback
	c := r.command(cobra.Command{
		Use:   "create URL",
		Short: "Make a callback, and print its signing secret",
		Long: "Make a callback, and print its signing secret. It is shown this once: give it to the\n" +
			"receiver, which tells by it that a message is from here.",
		Example: "  rekindle callback create https://hooks.example.com/rekindle --event secret.refreshed --event secret.updated",
	}, positional{1, 1, "one URL"}, func(ctx context.Context, s *session, args []string) error {
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		n.URL = args[0]
		made, err := s.client.CreateCallback(ctx, p.ID.ID, n)
		if err != nil {
			return err
		}
		s.printCallback(made)
		return nil
	})
	c.Flags().StringVar(&n.Ordering, "ordering", "", "what a message that is not taken holds up: nothing (prompt, the default), or what is newer about the same entity (strict)")
	c.Flags().StringSliceVar(&n.Subscriptions, "event", []string{"*"}, "an event to be told of, like secret.created; * is all")
	return c
}

func newCallbackList(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:     "list",
		Short:   "List the callbacks of a property",
		Example: "  rekindle callback list",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		all, err := s.client.Callbacks(ctx, p.ID.ID)
		if err != nil {
			return err
		}
		list, t := make([]written, len(all)), table{head: []string{"ID", "URL", "EVENTS", "CREATED"}}
		for i, c := range all {
			list[i] = written{c.ID, c.Source}
			t.add(c.ID.ID, c.Attributes.URL, strings.Join(c.Attributes.Subscriptions, " "), relative(&c.Attributes.CreatedAt, s.now()))
		}
		s.printAll(list, "there is no callback yet: make one with rekindle callback create", t.write)
		return nil
	})
}

func newCallbackShow(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:               "show ID",
		Short:             "Show a callback",
		Example:           "  rekindle callback show CB4f0c…",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		found, err := s.client.Callback(ctx, id)
		if err != nil {
			return err
		}
		s.printCallback(found)
		return nil
	})
}

func newCallbackTest(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:   "test ID",
		Short: "Send a callback a message that is about nothing, and say what came of it",
		Long: "Send a callback a message of the type callback.test, signed like the others, once, and\n" +
			"say what came of it. The exit code is 1 when the receiver did not take it.",
		Example:           "  rekindle callback test CB4f0c…",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		tested, err := s.client.TestCallback(ctx, id)
		if err != nil {
			return err
		}
		t := tested.Meta.Test
		if t == nil {
			return errors.New("the server did not say what came of it")
		}
		return s.printTry(written{tested.ID, tested.Source}, *t)
	})
}

func newCallbackRotate(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:               "rotate ID",
		Short:             "Give a callback another signing secret, and print it",
		Long:              "Give a callback another signing secret, and print it, this once. Messages are signed\nwith the one before as well for a day, in which the receiver can be changed.",
		Example:           "  rekindle callback rotate CB4f0c…",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		rotated, err := s.client.RotateCallback(ctx, id)
		if err != nil {
			return err
		}
		s.printCallback(rotated)
		return nil
	})
}

func newCallbackDelete(r *remote) *cobra.Command {
	var yes bool
	c := r.command(cobra.Command{
		Use:               "delete ID",
		Short:             "Delete a callback, with what waits for it",
		Example:           "  rekindle callback delete CB4f0c…",
		ValidArgsFunction: r.completion((*session).callbackIDs),
	}, oneCallback, func(ctx context.Context, s *session, args []string) error {
		id, err := callbackID(args)
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, yes, "delete the callback "+id+"?"); err != nil {
			return err
		}
		return s.client.DeleteCallback(ctx, id)
	})
	bindYes(c, &yes)
	return c
}

// oneCallback is the argument of commands for one callback.
var oneCallback = positional{1, 1, "one id of a callback"}

// callbackID returns the argument, which goes into a path only if it has the form of an id.
func callbackID(args []string) (string, error) {
	if !secret.ValidID(secret.PrefixCallback, args[0]) {
		return "", &usageError{errors.New("not the id of a callback: rekindle callback list has them")}
	}
	return args[0], nil
}

// callbackIDs are offered when an id is completed.
func (s *session) callbackIDs(ctx context.Context) ([]called, error) {
	p, err := s.propertyOf(ctx, s.property)
	if err != nil {
		return nil, err
	}
	all, err := s.client.Callbacks(ctx, p.ID.ID)
	return callAll(all, func(c client.Callback) called { return called{c.ID.ID, c.ID.ID, c.Attributes.URL} }), err
}

func (s *session) printCallback(c client.Callback) {
	s.print(written{c.ID, c.Source}, func(w io.Writer) {
		var t sheet
		t.add("id", c.ID.ID)
		t.add("url", c.Attributes.URL)
		t.add("events", strings.Join(c.Attributes.Subscriptions, " "))
		t.add("ordering", c.Attributes.Ordering)
		t.add("property", c.Relationships.Property.ID())
		t.add("created", moment(&c.Attributes.CreatedAt, s.now()))
		t.add("signing secret", c.Meta.SigningSecret)
		t.add("replay", replayed(c.Meta.Replay, s.now()))
		if until := c.Meta.OldSecretUntil; until != nil {
			t.add("the one before", "good until "+moment(until, s.now()))
		}
		t.write(w)
	})
}
