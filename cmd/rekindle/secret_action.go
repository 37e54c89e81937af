package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newSecretRetry(r *remote) *cobra.Command {
	return r.acting(client.ActionRetry, cobra.Command{
		Use:     "retry NAME",
		Short:   "Exchange a secret once more, now",
		Example: "  rekindle secret retry crm --wait",
	})
}

func newSecretReauthorize(r *remote) *cobra.Command {
	return r.acting(client.ActionReauthorize, cobra.Command{
		Use:   "reauthorize NAME",
		Short: "Ask a person to consent again",
		Long: "Begin a dialog at the provider, and say where: a person opens the URL in a browser\n" +
			"within an hour. Until the new consent is proven the old one goes on serving.",
		Example: "  rekindle secret reauthorize ads --wait",
	})
}

func newSecretAccept(r *remote) *cobra.Command {
	var w waiting
	var yes bool
	c := r.command(cobra.Command{
		Use:   "accept NAME",
		Short: "Accept the consent of another account",
		Long: "Accept a consent that is held because another account than before gave it: the one\n" +
			"that is shown, and none that comes after it. What is not accepted is never used.",
		Example:           "  rekindle secret accept ads --wait",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.secretOf(ctx, args[0])
		if err != nil {
			return err
		}
		after, err := s.accept(ctx, found, yes)
		if err != nil {
			return err
		}
		return s.finish(ctx, after, w)
	})
	w.bind(c)
	bindYes(c, &yes)
	return c
}

// accept shows which consent is held, and accepts that one.
func (s *session) accept(ctx context.Context, one client.Secret, yes bool) (client.Secret, error) {
	held := one.Meta.AuthorizationHeldAt
	if held == nil {
		return one, &codedError{exitRefused, fmt.Errorf("%s: no other account's consent is held", one.Attributes.Name)}
	}
	fmt.Fprintf(s.err, "another account than before has consented to %s: %s\n", oneLine(callSecret(one).String()), moment(held, s.now()))
	if err := s.confirm(ctx, yes, "use its consent from now on?"); err != nil {
		return one, err
	}
	return s.client.Accept(ctx, one.ID.ID, one.Attributes.TypeOf, *held)
}

// acting makes a command that asks for an action and shows what came of it.
func (r *remote) acting(action client.Action, c cobra.Command) *cobra.Command {
	var w waiting
	c.ValidArgsFunction = r.completion((*session).secretNames)
	made := r.command(c, oneRef, func(ctx context.Context, s *session, args []string) error {
		after, err := s.act(ctx, args[0], action)
		if err != nil {
			return err
		}
		return s.finish(ctx, after, w)
	})
	w.bind(made)
	return made
}

func (s *session) act(ctx context.Context, ref string, action client.Action) (client.Secret, error) {
	found, err := s.secretOf(ctx, ref)
	if err != nil {
		return client.Secret{}, err
	}
	return s.client.Act(ctx, found.ID.ID, found.Attributes.TypeOf, action)
}

func newSecretTest(r *remote) *cobra.Command {
	var show bool
	c := r.command(cobra.Command{
		Use:   "test NAME",
		Short: "Exchange a secret once, to see what the provider answers",
		Long: "Make one exchange and print what the provider answered. Nothing is changed or\n" +
			"stored. Of tokens only the ends are shown, unless asked otherwise.",
		Example:           "  rekindle secret test crm",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		after, err := s.act(ctx, args[0], client.ActionTest)
		if err != nil {
			return err
		}
		return s.printTest(after, show)
	})
	c.Flags().BoolVar(&show, "show", false, "show tokens whole")
	return c
}

// printTest prints a provider's answer. That it refused is an error.
func (s *session) printTest(one client.Secret, show bool) error {
	var answer map[string]any
	decoder := json.NewDecoder(bytes.NewReader(one.Meta.TestExchange))
	decoder.UseNumber()
	if decoder.Decode(&answer) != nil {
		return errors.New("the server tells nothing of the provider's answer")
	}
	if !show {
		answer = maskAll(answer)
		one.JSON = withTest(one.JSON, answer)
	}
	s.print(written{one.ID, one.Source}, func(w io.Writer) {
		var t sheet
		for _, member := range slices.Sorted(maps.Keys(answer)) {
			t.add(member, plain(answer[member]))
		}
		t.write(w)
	})
	if warning := one.Meta.TestWarning; warning != "" {
		fmt.Fprintln(s.err, "this would not be accepted:", oneLine(warning))
	}
	if refusal, ok := answer["error"]; ok {
		return fmt.Errorf("the exchange of %s failed: %s", one.Attributes.Name, oneLine(plain(refusal)))
	}
	return nil
}

// speaking are the members of a token endpoint's answer that are no secret (RFC
// 6749, sections 5.1 and 5.2). Whatever else is text may be one.
var speaking = []string{"token_type", "scope", "error", "error_description", "error_uri", "status"}

// maskAll masks all text of an answer that may be secret.
func maskAll(answer map[string]any) map[string]any {
	masked := make(map[string]any, len(answer))
	for name, value := range answer {
		if _, text := value.(string); !text || !slices.Contains(speaking, name) {
			value = mask(value)
		}
		masked[name] = value
	}
	return masked
}

func mask(value any) any {
	switch value := value.(type) {
	case string:
		return seal.Mask(seal.NewPlaintext(value))
	case map[string]any:
		return maskAll(value)
	case []any:
		masked := make([]any, len(value))
		for i := range value {
			masked[i] = mask(value[i])
		}
		return masked
	default:
		return value
	}
}

// withTest returns the document of a secret with another answer in it.
func withTest(document json.RawMessage, answer map[string]any) json.RawMessage {
	var whole, meta map[string]json.RawMessage
	if json.Unmarshal(document, &whole) != nil || json.Unmarshal(whole["meta"], &meta) != nil {
		return nil
	}
	meta["test_exchange"], _ = json.Marshal(answer) //nolint:errcheck // it was decoded from JSON
	whole["meta"], _ = json.Marshal(meta)           //nolint:errcheck // as above
	document, _ = json.Marshal(whole)               //nolint:errcheck // as above
	return document
}
