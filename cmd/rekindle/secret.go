package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newSecret() *cobra.Command {
	return group(cobra.Command{
		Use:   "secret",
		Short: "Make, see, change and delete secrets",
		Long: "Make, see, change and delete secrets. They are told by name or id.\n\n" +
			"What is hidden (a token, password, client secret or private key) is never an\n" +
			"argument: it is asked for at the terminal, read from standard input when that is\n" +
			"none, or from a file.",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(
			newSecretCreate(r), newSecretList(r), newSecretGet(r), newSecretUpdate(r),
			newSecretTimeline(r), newSecretRetry(r), newSecretTest(r), newSecretReauthorize(r), newSecretAccept(r), newSecretDelete(r),
		)
	})
}

// statuses are those that a secret can have (contract A7).
var statuses = []string{"pending", "succeeded", "failed"}

func newSecretList(r *remote) *cobra.Command {
	var environment, status, kind string
	c := r.command(cobra.Command{
		Use:   "list",
		Short: "List the secrets of a property",
		Example: "  rekindle secret list\n" +
			"  rekindle secret list --status failed -o id",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		if status != "" && !slices.Contains(statuses, status) {
			return &usageError{errors.New("--status: there is no such status; use " + strings.Join(statuses, ", "))}
		}
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		in, err := s.environmentID(ctx, p.ID.ID, environment)
		if err != nil {
			return err
		}
		all, err := s.client.Secrets(ctx, p.ID.ID, client.Filter{"environment_id": in, "status": status, "type_of": kind})
		if err != nil {
			return err
		}
		return s.printSecrets(ctx, p, all)
	})
	c.Flags().StringVar(&environment, "environment", "", "only those of the environment, by name or id")
	c.Flags().StringVar(&status, "status", "", "only those that are pending, succeeded or failed")
	c.Flags().StringVar(&kind, "type", "", "only those of the type")
	r.complete(c, "environment", (*session).environmentNames)
	completeFixed(c, "status", statuses)
	completeFixed(c, "type", types())
	return c
}

func newSecretGet(r *remote) *cobra.Command {
	var w waiting
	c := r.command(cobra.Command{
		Use:   "get NAME",
		Short: "Show a secret",
		Example: "  rekindle secret get crm\n" +
			"  rekindle secret get crm --wait -o json",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.secretOf(ctx, args[0])
		if err != nil {
			return err
		}
		return s.finish(ctx, found, w)
	})
	w.bind(c)
	return c
}

func newSecretDelete(r *remote) *cobra.Command {
	var yes bool
	c := r.command(cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a secret and its value",
		Long:              "Delete a secret for good, at once, with the value it put into its environment.",
		Example:           "  rekindle secret delete crm",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.secretOf(ctx, args[0])
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, yes, fmt.Sprintf("delete the secret %s and its value?", callSecret(found))); err != nil {
			return err
		}
		return s.client.DeleteSecret(ctx, found.ID.ID)
	})
	bindYes(c, &yes)
	return c
}

// types are the types of secrets, for completion. A deployment may have more.
func types() []string {
	var names []string
	for _, k := range secret.Kinds() {
		names = append(names, string(k))
	}
	return names
}

func completeFixed(c *cobra.Command, flag string, values []string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) //nolint:errcheck // it fails for an unknown flag only
}
