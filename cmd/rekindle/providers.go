package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// providerSettings is what the file says of a provider: how it differs from the
// descriptor that is shipped under its name, and the app registered with it.
type providerSettings struct {
	provider.Descriptor `yaml:",inline"`

	ClientID         string            `yaml:"client_id"`
	ClientSecret     clientSecret      `yaml:"client_secret"`
	ClientSecretFile string            `yaml:"client_secret_file"`
	PrivateKeyFile   string            `yaml:"private_key_file"`
	PrivateKeyID     string            `yaml:"private_key_id"`
	PrivateKeyAlg    string            `yaml:"private_key_alg"`
	CertificateFile  string            `yaml:"certificate_file"`
	SecretExpiresAt  time.Time         `yaml:"secret_expires_at"`
	Values           map[string]string `yaml:"values"`
}

// clientSecret is a text of the file that nothing can print.
type clientSecret struct{ seal.Plaintext }

// UnmarshalText sets the secret. The error is a [config.Problem].
func (c *clientSecret) UnmarshalText(text []byte) error {
	c.Plaintext = seal.NewPlaintext(text)
	defer clear(text)
	return checkSecret(text)
}

// addShipped adds the providers that have no entry yet, so that the file
// overrides field by field.
func (f *fileSettings) addShipped() {
	if f.Providers == nil {
		f.Providers = map[string]providerSettings{}
	}
	shipped := provider.Defaults()
	for _, name := range shipped.Names() {
		if _, there := f.Providers[name]; !there {
			d, _ := shipped.Get(name)
			f.Providers[name] = providerSettings{Descriptor: d}
		}
	}
}

// checkProviders makes apps and their client secrets of what the file says of
// providers.
func (s *settings) checkProviders(errs *config.Errors) {
	s.apps, s.proofs = provider.Apps{}, map[string]proof{}
	descriptors := make([]provider.Descriptor, 0, len(s.file.Providers))
	for _, name := range slices.Sorted(maps.Keys(s.file.Providers)) {
		p, field := s.file.Providers[name], "providers."+name
		p.Name = name
		p.dropUnused()
		descriptors = append(descriptors, p.Descriptor)
		kind := secret.ProviderKind(name)
		errs.Check(kind.Interactive(), field, "its secrets would be of the kind "+string(kind)+", which is another", "choose another name")
		errs.Check(p.Kind == "" || p.Kind == string(kind), field+".kind", "is not the kind that goes by the provider's name", "leave it out")
		if p.registers() {
			s.checkApp(errs, field, p)
		}
	}
	_, err := provider.Set{}.With(descriptors...)
	checkFields(errs, "providers", err)
}

// dropUnused drops the placeholders of the shipped descriptor that were in what
// the file has overridden: nobody could leave them out.
func (p *providerSettings) dropUnused() {
	shipped, _ := provider.Defaults().Get(p.Name)
	p.Placeholders = maps.Clone(p.Placeholders)
	for name := range shipped.Placeholders {
		if !p.Uses(name) {
			delete(p.Placeholders, name)
		}
	}
}

// registers reports whether the file says anything of an app.
func (p providerSettings) registers() bool {
	return p.ClientID != "" || !p.ClientSecret.IsZero() || p.ClientSecretFile != "" || p.PrivateKeyFile != "" || p.CertificateFile != "" || !p.SecretExpiresAt.IsZero() || len(p.Values) > 0
}

// checkApp makes an app, of a provider without placeholders: the values that the
// file gives are in their places.
func (s *settings) checkApp(errs *config.Errors, field string, p providerSettings) {
	app := provider.App{Provider: p.Descriptor, Registration: provider.Registration{
		Provider: p.Name, ClientID: p.ClientID, SecretExpiresAt: p.SecretExpiresAt, Values: p.Values,
	}}
	checkFields(errs, field, app.Validate())
	for _, name := range slices.Sorted(maps.Keys(p.Placeholders)) {
		_, given := p.Values[name]
		errs.Check(given || p.Placeholders[name].Default != "", field+".values."+name, "is missing", "write the value that takes the place of {"+name+"}")
	}
	p.checkProof(errs, field)
	if placed, err := p.At(p.Values); err == nil { // what is wrong with the values is noted above
		app.Provider = placed
	}
	if s.runs(targetExchanger) {
		given := p.readProof(errs, field)
		s.proofs[p.Name] = given
		if app.Registration.SecretExpiresAt.IsZero() {
			app.Registration.SecretExpiresAt = given.certificate.ends()
		}
	} else {
		errs.Check(p.ClientSecret.IsZero(), field+".client_secret", "is readable by a process that must not know it", "use client_secret_file, which only exchangers read")
	}
	s.apps[p.Name] = app
}

// checkFields notes the errors of package provider, whose fields are in that of
// the file.
func checkFields(errs *config.Errors, in string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			checkFields(errs, in, e)
		}
		return
	}
	if e, ok := errors.AsType[*provider.FieldError](err); ok {
		errs.Check(false, in+"."+e.Field, e.Problem, e.Fix)
		return
	}
	errs.Check(err == nil, in, "will not do", "compare it with docs/providers.md")
}

const maxClientSecret = 16 << 10 // bytes

// checkSecret says what keeps a text from being a client secret (RFC 6749
// appendix A.2).
func checkSecret(text []byte) error {
	const fix = ", copy the secret from the app's page at the provider, and nothing else"
	switch {
	case len(text) == 0:
		return config.Problem("is empty" + fix)
	case len(text) > maxClientSecret:
		return config.Problem("is longer than 16 KiB" + fix)
	case bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
		return config.Problem("has characters that no client secret has" + fix)
	default:
		return nil
	}
}

// readSecret returns the app's client secret, zero when there is none or it will
// not do.
func (p providerSettings) readSecret(errs *config.Errors, field string) seal.Plaintext {
	errs.Check(p.ClientSecret.IsZero() || p.ClientSecretFile == "", field+".client_secret_file", "is given besides client_secret", "keep one of the two")
	if p.ClientSecretFile != "" {
		given, err := readSecretFile(p.ClientSecretFile)
		if err != nil {
			errs.Check(false, field+".client_secret_file", err.Error(), "name a file that holds the client secret, for this process to read")
		}
		return given
	}
	errs.Check(!p.ClientSecret.IsZero(), field+".client_secret", "is missing", "write it, or name a file that holds it in client_secret_file")
	return p.ClientSecret.Plaintext
}

// readSecretFile returns what the file holds, without the line's end. Its error
// says what is wrong without the path, which may be a secret in the wrong place.
func readSecretFile(path string) (seal.Plaintext, error) {
	body, err := readRegular(path, maxClientSecret+len("\r\n"))
	defer clear(body)
	if err != nil {
		return seal.Plaintext{}, err
	}
	text := bytes.TrimRight(body, "\r\n")
	if err := checkSecret(text); err != nil {
		return seal.Plaintext{}, err
	}
	return seal.NewPlaintext(text), nil
}

// readRegular returns what a file holds, up to one byte more than most; the
// caller's to overwrite.
func readRegular(path string, most int) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: to open a pipe is to wait
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer file.Close()
	body := make([]byte, most+1)
	n, err := io.ReadFull(file, body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return body, unreadable(err)
	}
	return body[:n], nil
}

func unreadable(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
