package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// stages are those of contract A15.3.
var stages = []string{"development", "staging", "production"}

func newEnvironment() *cobra.Command {
	return group(cobra.Command{
		Use:   "environment",
		Short: "Make, see and delete environments, which secrets put their values into",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(newEnvironmentCreate(r), newEnvironmentList(r), newEnvironmentGet(r), newEnvironmentDelete(r))
	})
}

func newEnvironmentCreate(r *remote) *cobra.Command {
	var stage string
	c := r.command(cobra.Command{
		Use:     "create NAME",
		Short:   "Make an environment in a property",
		Example: "  rekindle environment create dev --stage development",
	}, oneName, func(ctx context.Context, s *session, args []string) error {
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		e, err := s.client.CreateEnvironment(ctx, p.ID.ID, args[0], stage)
		if err != nil {
			return err
		}
		s.printEnvironment(e)
		return nil
	})
	c.Flags().StringVar(&stage, "stage", stages[0], "development, staging or production")
	_ = c.RegisterFlagCompletionFunc("stage", cobra.FixedCompletions(stages, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // it fails for an unknown flag only
	return c
}

func newEnvironmentList(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:     "list",
		Short:   "List the environments of a property",
		Example: "  rekindle environment list --property shop",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		all, err := s.client.Environments(ctx, p.ID.ID, nil)
		if err != nil {
			return err
		}
		sortByName(all, callEnvironment)
		list, t := make([]written, len(all)), table{head: []string{"NAME", "STAGE", "ID", "CREATED"}}
		for i, e := range all {
			list[i] = written{e.ID, e.Source}
			t.add(e.Attributes.Name, e.Attributes.Stage, e.ID.ID, relative(&e.Attributes.CreatedAt, s.now()))
		}
		s.printAll(list, "there is no environment yet: make one with rekindle environment create", t.write)
		return nil
	})
}

func newEnvironmentGet(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:               "get NAME",
		Short:             "Show an environment",
		Example:           "  rekindle environment get dev",
		ValidArgsFunction: r.completion((*session).environmentNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		e, err := s.environmentOf(ctx, args[0])
		if err != nil {
			return err
		}
		s.printEnvironment(e)
		return nil
	})
}

func newEnvironmentDelete(r *remote) *cobra.Command {
	var yes bool
	c := r.command(cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete an environment",
		Long:              "Delete an environment with the values in it. Its secrets stay, and are no longer\nrefreshed until they are given another one.",
		Example:           "  rekindle environment delete dev",
		ValidArgsFunction: r.completion((*session).environmentNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		e, err := s.environmentOf(ctx, args[0])
		if err != nil {
			return err
		}
		question := fmt.Sprintf("delete the environment %s and the values in it?", callEnvironment(e))
		if err := s.confirm(ctx, yes, question); err != nil {
			return err
		}
		return s.client.DeleteEnvironment(ctx, e.ID.ID)
	})
	bindYes(c, &yes)
	return c
}

func (s *session) printEnvironment(e client.Environment) {
	s.print(written{e.ID, e.Source}, func(w io.Writer) {
		var t sheet
		t.add("name", e.Attributes.Name)
		t.add("id", e.ID.ID)
		t.add("stage", e.Attributes.Stage)
		t.add("property", e.Relationships.Property.ID())
		t.add("created", moment(&e.Attributes.CreatedAt, s.now()))
		t.write(w)
	})
}
