package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long a person who pressed tab is kept waiting.
const completionTime = 2 * time.Second

// named lists what can be named, for completion.
type named func(*session, context.Context) ([]called, error)

// completion completes the first argument from what the server knows. Whatever
// fails, fails in silence: the person is in the middle of a line.
func (r *remote) completion(list named) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return r.ask(c, list), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete completes a flag.
func (r *remote) complete(c *cobra.Command, flag string, list named) {
	_ = c.RegisterFlagCompletionFunc(flag, func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) { //nolint:errcheck // it fails for an unknown flag only
		return r.ask(c, list), cobra.ShellCompDirectiveNoFileComp
	})
}

func (r *remote) ask(c *cobra.Command, list named) (completions []cobra.Completion) {
	s, err := r.open(c)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	things, err := list(s, ctx)
	if err != nil {
		return nil
	}
	for _, t := range things {
		completions = append(completions, cobra.CompletionWithDesc(oneLine(t.name), oneLine(t.more)))
	}
	return completions
}

func (s *session) companyNames(ctx context.Context) ([]called, error) {
	all, err := s.client.Companies(ctx)
	return callAll(all, callCompany), err
}

func (s *session) propertyNames(ctx context.Context) ([]called, error) {
	all, err := s.properties(ctx, nil)
	return callAll(all, callProperty), err
}

func (s *session) environmentNames(ctx context.Context) ([]called, error) {
	p, err := s.propertyOf(ctx, s.property)
	if err != nil {
		return nil, err
	}
	all, err := s.client.Environments(ctx, p.ID.ID, nil)
	return callAll(all, callEnvironment), err
}

func (s *session) secretNames(ctx context.Context) ([]called, error) {
	p, err := s.propertyOf(ctx, s.property)
	if err != nil {
		return nil, err
	}
	all, err := s.client.Secrets(ctx, p.ID.ID, nil)
	return callAll(all, callSecret), err
}

func callAll[T any](all []T, call func(T) called) []called {
	list := make([]called, len(all))
	for i, one := range all {
		list[i] = call(one)
	}
	return list
}
