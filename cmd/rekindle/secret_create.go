package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// secretForm is what a person says of a secret that is made or changed.
type secretForm struct {
	credentials credentialFlags
	environment string
	secretFile  string
	fromFile    string
	waiting     waiting
}

func (f *secretForm) bind(c *cobra.Command, r *remote) {
	f.credentials.bind(c.Flags())
	c.Flags().StringVar(&f.environment, "environment", "", "name or id of the environment to put the value into")
	c.Flags().StringVar(&f.fromFile, "from-file", "", "file with the attributes as a JSON object (name, type_of, credentials) in place of flags; - for standard input")
	c.Flags().StringVar(&f.secretFile, "secret-file", "", "file with the token, password, client secret or private key; - for standard input or a prompt")
	f.waiting.bind(c)
	r.complete(c, "environment", (*session).environmentNames)
	for _, flag := range []string{"from-file", "secret-file"} {
		_ = c.MarkFlagFilename(flag) //nolint:errcheck // it fails for an unknown flag only
	}
}

// attributes are those of a secret as the API takes them.
type attributes struct {
	Name        string         `json:"name"`
	TypeOf      string         `json:"type_of"`
	Credentials map[string]any `json:"credentials"`
}

// read returns the attributes of the file, none without one.
func (f *secretForm) read(s *session) (a attributes, err error) {
	if f.fromFile == "" {
		return a, nil
	}
	if f.credentials.given() {
		return a, &usageError{errors.New("--from-file: has the credentials; there can be no flags for them")}
	}
	if f.fromFile == fromStdin && f.secretFile == fromStdin {
		return a, &usageError{errors.New("--from-file and --secret-file cannot both be standard input")}
	}
	document, err := s.read(f.fromFile)
	defer clear(document)
	if err != nil {
		return a, err
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	if decoder.Decode(&a) != nil || decoder.More() { // the error may quote a credential
		return a, &usageError{errors.New("--from-file: not a JSON object with name, type_of and credentials")}
	}
	return a, nil
}

// hidden reads the hidden credential into the credentials.
func (f *secretForm) hidden(ctx context.Context, s *session, kind secret.Kind, credentials map[string]any) error {
	field := kind.Hidden()
	if field == "" {
		return &usageError{fmt.Errorf("--secret-file: %s has no hidden credential", kind)}
	}
	value, err := s.readHidden(ctx, field, f.secretFile)
	if err != nil {
		return err
	}
	defer value.Wipe()
	credentials[field] = string(value.Reveal())
	return nil
}

func newSecretCreate(r *remote) *cobra.Command {
	var f secretForm
	var kind string
	c := r.command(cobra.Command{
		Use:   "create NAME",
		Short: "Make a secret, and begin its first exchange",
		Long: "Make a secret, and begin its first exchange. The hidden credential is asked for\n" +
			"at the terminal, or read from standard input when that is none.\n\n" +
			"For the types that a person has to consent to, the answer is a URL to open in a\n" +
			"browser within an hour.",
		Example: "  rekindle secret create crm --type oauth2-client_credentials --environment dev \\\n" +
			"    --client-id crm --token-url https://idp.example.com/token --scope read --wait\n" +
			"  rekindle secret create login --type simple-http --username anna < password.txt\n" +
			"  rekindle secret create signer --type oauth2-jwt --iss me --aud them --ttl 1h --secret-file key.pem\n" +
			"  rekindle secret create ads --type oauth2-google --scope https://www.googleapis.com/auth/adwords --wait\n" +
			"  rekindle secret create --from-file secret.json",
	}, positional{0, 1, "one name"}, func(ctx context.Context, s *session, args []string) error {
		n, err := f.new(ctx, s, args, kind)
		if err != nil {
			return err
		}
		property, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		if n.Environment, err = s.environmentID(ctx, property.ID.ID, f.environment); err != nil {
			return err
		}
		made, err := s.client.CreateSecret(ctx, property.ID.ID, n)
		if err != nil {
			return err
		}
		return s.finish(ctx, made, f.waiting)
	})
	c.Flags().StringVar(&kind, "type", "", "type of the secret, like token, simple-http, oauth2-client_credentials, oauth2-jwt or oauth2-google")
	completeFixed(c, "type", types())
	f.bind(c, r)
	return c
}

// new returns the secret that the form describes.
func (f *secretForm) new(ctx context.Context, s *session, args []string, kind string) (n client.NewSecret, err error) {
	a, err := f.read(s)
	if err != nil {
		return n, err
	}
	if len(args) > 0 {
		a.Name = args[0]
	}
	if kind != "" {
		a.TypeOf = kind
	}
	switch {
	case a.Name == "":
		return n, &usageError{errors.New("the secret has no name: rekindle secret create NAME")}
	case a.TypeOf == "":
		return n, &usageError{errors.New("--type: say what type of secret it is")}
	case a.Credentials == nil:
		a.Credentials = map[string]any{}
	}
	if err := f.credentials.into(a.Credentials, secret.Kind(a.TypeOf)); err != nil {
		return n, err
	}
	if f.secretFile == "" && f.fromFile == "" && secret.Kind(a.TypeOf).Hidden() != "" {
		f.secretFile = fromStdin
	}
	if f.secretFile != "" {
		err = f.hidden(ctx, s, secret.Kind(a.TypeOf), a.Credentials)
	}
	return client.NewSecret{Name: a.Name, TypeOf: a.TypeOf, Credentials: a.Credentials}, err
}

func newSecretUpdate(r *remote) *cobra.Command {
	var f secretForm
	var name string
	c := r.command(cobra.Command{
		Use:   "update NAME",
		Short: "Rename a secret, change its credentials, or give it an environment",
		Long: "Change what is given and keep the rest. New credentials begin an exchange. A\n" +
			"secret that has an environment cannot be given another one.",
		Example: "  rekindle secret update crm --name crm-eu\n" +
			"  rekindle secret update crm --secret-file - --wait\n" +
			"  rekindle secret update crm --environment production",
		ValidArgsFunction: r.completion((*session).secretNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		found, err := s.secretOf(ctx, args[0])
		if err != nil {
			return err
		}
		change, err := f.change(ctx, s, found)
		if err != nil {
			return err
		}
		if name != "" {
			change.Name = name
		}
		if change.Name == "" && change.Credentials == nil && change.Environment == "" {
			return &usageError{errors.New("there is nothing to change (see rekindle secret update --help)")}
		}
		after, err := s.client.UpdateSecret(ctx, found.ID.ID, change)
		if err != nil {
			return err
		}
		return s.finish(ctx, after, f.waiting)
	})
	c.Flags().StringVar(&name, "name", "", "new name")
	f.bind(c, r)
	return c
}

// change returns the change that the form describes. Credentials are sent as
// they will be, without the hidden one unless that is new.
func (f *secretForm) change(ctx context.Context, s *session, of client.Secret) (change client.Change, err error) {
	a, err := f.read(s)
	if err != nil {
		return change, err
	}
	kind := secret.Kind(of.Attributes.TypeOf)
	change = client.Change{TypeOf: string(kind), Name: a.Name, Credentials: a.Credentials}
	if a.TypeOf != "" {
		change.TypeOf = a.TypeOf
	}
	if change.Environment, err = s.environmentID(ctx, of.Relationships.Property.ID(), f.environment); err != nil {
		return change, err
	}
	if !f.credentials.given() && f.secretFile == "" {
		return change, nil
	}
	if change.Credentials == nil {
		change.Credentials = maps.Clone(of.Attributes.Credentials)
	}
	if change.Credentials == nil {
		change.Credentials = map[string]any{}
	}
	if err := f.credentials.into(change.Credentials, kind); err != nil {
		return change, err
	}
	if f.secretFile != "" {
		err = f.hidden(ctx, s, kind, change.Credentials)
	}
	return change, err
}
