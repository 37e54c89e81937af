package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newToken() *cobra.Command {
	return group(cobra.Command{
		Use:   "token",
		Short: "Make, see, revoke and delete API tokens",
		Long: "Make, see, revoke and delete the bearer tokens by which programs and people use the\n" +
			"API. A token is shown once, when it is made; the server keeps a hash of it.",
	}, func(c *cobra.Command, r *remote) {
		c.AddCommand(newTokenCreate(r), newTokenList(r), newTokenRevoke(r), newTokenDelete(r))
	})
}

// never is the end of a token that does not expire.
const never = "never"

func newTokenCreate(r *remote) *cobra.Command {
	var rights []string
	var expires string
	c := r.command(cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and print it, this once",
		Long: "Make a token and print it, this once. It goes to standard output and what is said of\n" +
			"it to standard error, so that it can be written into a file. Without --right it may\n" +
			"only read. It can have no right that you do not have.",
		Example: "  rekindle token create deployments --right develop --expires 30d > token\n" +
			"  rekindle token create auditor --right read_audit",
	}, oneName, func(ctx context.Context, s *session, args []string) error {
		if s.output == outputID {
			return &usageError{errors.New("-o id would lose the token, which is told only now: use text or json")}
		}
		n := client.NewToken{Name: args[0], Rights: rights}
		if expires != never {
			life, err := config.ParseDuration(expires)
			if err != nil || life == 0 {
				return &usageError{errors.New("--expires: use a duration like 90d or 8h, or " + never)}
			}
			n.Expires = s.now().Add(time.Duration(life)).Truncate(time.Second)
		}
		made, text, err := s.client.CreateToken(ctx, n)
		if err != nil {
			return err
		}
		s.print(written{made.ID, made.Source}, func(w io.Writer) {
			fmt.Fprintln(w, text)
			a := made.Attributes
			fmt.Fprintf(s.err, "made the token %s (%s) with %s; it expires %s, and is not shown again\n",
				oneLine(a.Name), made.ID.ID, listed(a.Rights), ending(a.ExpiresAt, s.now()))
		})
		return nil
	})
	c.Flags().StringSliceVar(&rights, "right", nil, "what it may do besides reading, may be repeated: "+rightNames())
	c.Flags().StringVar(&expires, "expires", "90d", "for how long it is good, like 90d or 8h, or "+never)
	completeFixed(c, "right", strings.Split(rightNames(), ", "))
	return c
}

// listed are rights, for people.
func listed(rights []string) string {
	if len(rights) == 0 {
		return "no right but to read"
	}
	return strings.Join(rights, ", ")
}

// ending is when a token ends, for people.
func ending(at *time.Time, now time.Time) string {
	if at == nil {
		return never
	}
	return moment(at, now)
}

func newTokenList(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:     "list",
		Short:   "List tokens, ended ones included",
		Example: "  rekindle token list",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		all, err := s.client.Tokens(ctx)
		if err != nil {
			return err
		}
		sortByName(all, callToken)
		list, t := make([]written, len(all)), table{head: []string{"NAME", "ID", "STATUS", "EXPIRES", "LAST USED", "RIGHTS"}}
		for i, token := range all {
			a := token.Attributes
			list[i] = written{token.ID, token.Source}
			t.add(a.Name, token.ID.ID, a.Status, relative(a.ExpiresAt, s.now()), relative(a.LastUsedAt, s.now()), strings.Join(a.Rights, ","))
		}
		s.printAll(list, "there is no token yet: make one with rekindle token create", t.write)
		return nil
	})
}

func newTokenRevoke(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:   "revoke NAME",
		Short: "End a token, now and for good",
		Long: "End a token, now and for good. It stays in the list. The id of a token that was found\n" +
			"somewhere is AT and the 32 digits behind rkd_.",
		Example:           "  rekindle token revoke deployments",
		ValidArgsFunction: r.completion((*session).tokenNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.tokenCalled(ctx, args[0])
		if err != nil {
			return err
		}
		revoked, err := s.client.RevokeToken(ctx, found.ID.ID)
		if err != nil {
			return err
		}
		s.print(written{revoked.ID, revoked.Source}, func(w io.Writer) {
			fmt.Fprintf(w, "revoked %s\n", callToken(revoked))
		})
		return nil
	})
}

func newTokenDelete(r *remote) *cobra.Command {
	var yes bool
	c := r.command(cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a token, which ends it",
		Example:           "  rekindle token delete deployments",
		ValidArgsFunction: r.completion((*session).tokenNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.tokenCalled(ctx, args[0])
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, yes, fmt.Sprintf("delete the token %s?", callToken(found))); err != nil {
			return err
		}
		return s.client.DeleteToken(ctx, found.ID.ID)
	})
	bindYes(c, &yes)
	return c
}

func callToken(t client.Token) called { return called{t.Attributes.Name, t.ID.ID, t.Attributes.Status} }

func (s *session) tokenNames(ctx context.Context) ([]called, error) {
	all, err := s.client.Tokens(ctx)
	return callAll(all, callToken), err
}

// tokenCalled returns the token that is called ref. A name means one that is
// active, if one of that name is.
func (s *session) tokenCalled(ctx context.Context, ref string) (client.Token, error) {
	if secret.ValidID(secret.PrefixToken, ref) {
		found, err := s.client.Token(ctx, ref)
		return found, missing("token", ref, err)
	}
	all, err := s.client.Tokens(ctx)
	if err != nil {
		return client.Token{}, err
	}
	active := slices.DeleteFunc(slices.Clone(all), func(t client.Token) bool {
		return t.Attributes.Name != ref || t.Attributes.Status != "active"
	})
	if len(active) > 0 {
		all = active
	}
	return byName("token", ref, all, callToken)
}
