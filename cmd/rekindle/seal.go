package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// sealForm is what a person says of a credential that is sealed.
type sealForm struct {
	about, kind, tokenURL, secretFile, keyset string
}

func newSeal() *cobra.Command {
	var f sealForm
	r := &remote{}
	c := &cobra.Command{
		Use:   "seal",
		Short: "Seal a credential, so that nobody but the fleet can read it",
		Long: "Seal the token, password, client secret or private key of a secret to the fleet's\n" +
			"public keyset, and print what stands in its place in a request or an event. It is of\n" +
			"use for that secret only, and a client secret for the server only of its token URL.\n" +
			"The credential is asked for at the terminal, or read from standard input when that is\n" +
			"none. It takes no bearer token where the organisation is named, and with --keyset no\n" +
			"server.",
		Example: "  rekindle seal --about PR0123…/crm --type oauth2 --token-url https://idp.example.com/token\n" +
			"  rekindle seal --org ACME --about SE0123… --type simple-http --keyset keyset.json < password.txt",
		Args: noName.check,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		signal.Ignore(syscall.SIGPIPE) // as of all that print
		s, err := r.stranger(c)
		if err != nil {
			return err
		}
		return s.explain(c.Context(), s.seal(c, f))
	}
	c.ValidArgsFunction = cobra.NoFileCompletions
	fl := c.Flags()
	fl.StringVar(&f.about, "about", "", "which secret: its id or, for one that is yet to be made, the id of its property, a slash and its name")
	fl.StringVar(&f.kind, "type", "", "type of the secret, which says what is hidden")
	fl.StringVar(&f.tokenURL, "token-url", "", "oauth2: token endpoint, which the client secret is sealed for")
	fl.StringVar(&f.secretFile, "secret-file", fromStdin, "file with the token, password, client secret or private key; - for standard input or a prompt")
	fl.StringVar(&f.keyset, "keyset", "", "file with the public keyset (default: the server is asked)")
	completeFixed(c, "type", types())
	r.complete(c, "about", (*session).secretIDs)
	for _, flag := range []string{"keyset", "secret-file"} {
		_ = c.MarkFlagFilename(flag) //nolint:errcheck // it fails for an unknown flag only
	}
	return single(r, c)
}

// secretIDs are the secrets of the property by their ids.
func (s *session) secretIDs(ctx context.Context) ([]called, error) {
	all, err := s.secretNames(ctx)
	for i, one := range all {
		all[i] = called{one.id, one.id, one.name + ", " + one.more}
	}
	return all, err
}

func (s *session) seal(c *cobra.Command, f sealForm) error {
	target, err := f.target()
	if err != nil {
		return &usageError{err}
	}
	if s.output == outputID {
		return &usageError{errors.New("-o id: what is sealed has no id: use text or json, which are the same")}
	}
	ctx := c.Context()
	if target.Org, err = s.organisation(c); err != nil {
		return err
	}
	keys, err := s.keyset(ctx, f.keyset)
	if err != nil {
		return err
	}
	value, err := s.readHidden(ctx, target.Field, f.secretFile)
	if err != nil {
		return err
	}
	defer value.Wipe()
	plain := value.Reveal()
	defer clear(plain)
	sealed, err := keys.Seal(target, plain)
	if err != nil {
		return &usageError{err}
	}
	out := &output{to: s.out}
	if err := json.NewEncoder(out).Encode(sealed); err != nil {
		return out.lost()
	}
	return nil
}

// target is what is sealed for, but for its organisation.
func (f sealForm) target() (sealing.Target, error) {
	field := secret.Kind(f.kind).Hidden()
	property, name, named := strings.Cut(f.about, "/")
	switch {
	case field == "":
		return sealing.Target{}, errors.New("--type: use one that has a hidden credential: token, simple-http, oauth2-client_credentials or oauth2-jwt")
	case named && (!secret.ValidID(secret.PrefixProperty, property) || name == ""), !named && !secret.ValidID(secret.PrefixSecret, f.about):
		return sealing.Target{}, errors.New("--about: neither the id of a secret nor the id of a property, a slash and a name")
	case field == sealing.FieldClientSecret && f.tokenURL == "":
		return sealing.Target{}, errors.New("--token-url: name the token endpoint that the client secret is for")
	}
	return sealing.Target{About: f.about, Field: field, TokenURL: f.tokenURL}, nil
}

// organisation is the one that was named, or else the first of the bearer token's.
func (s *session) organisation(c *cobra.Command) (string, error) {
	if s.org != "" {
		return s.org, nil
	}
	known, err := s.open(c)
	if err != nil {
		return "", fmt.Errorf("--org: name the organisation of the secret, or show a bearer token: %w", err)
	}
	companies, err := known.client.Companies(c.Context())
	if err != nil {
		return "", err
	}
	if len(companies) == 0 {
		return "", &codedError{exitNotFound, errors.New("the organisation of the bearer token has no company: name one with --org")}
	}
	return companies[0].Attributes.OrgID, nil
}

// keyset is that of a file, or else that of the server.
func (s *session) keyset(ctx context.Context, file string) (sealing.Keyset, error) {
	read, from := func() ([]byte, error) { return os.ReadFile(file) }, file
	if file == "" {
		read, from = func() ([]byte, error) { return s.client.Keyset(ctx) }, s.server
	}
	body, err := read()
	if err != nil {
		return sealing.Keyset{}, err
	}
	keys, err := sealing.Parse(body)
	if err != nil {
		return sealing.Keyset{}, fmt.Errorf("%s has no public keyset: %w", from, err)
	}
	return keys, nil
}
