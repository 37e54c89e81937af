package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

// proof is how an app proves to its provider who it is, by one of these. It is read
// where an exchanger runs, and nowhere else.
type proof struct {
	secret      seal.Plaintext
	key         *exchanger.ClientKey
	certificate certificate
}

// certificate is one with its private key. It prints as "[redacted]".
type certificate struct{ *tls.Certificate }

// Format writes "[redacted]" for every verb.
func (certificate) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// ends is when the certificate does; zero when there is none.
func (c certificate) ends() (at time.Time) {
	if c.Certificate != nil {
		at = c.Leaf.NotAfter
	}
	return at
}

// exchangerApps are the apps with what exchangers alone may know of them, for
// exchanges that go where egress allows. Close ends the connections of those that
// have their own.
func (s *settings) exchangerApps(egress exchanger.EgressConfig) (apps map[string]exchanger.App, closeAll func()) {
	apps = make(map[string]exchanger.App, len(s.apps))
	var own []*exchanger.Identity
	for name, app := range s.apps {
		p := s.proofs[name]
		known := exchanger.App{Provider: app.Provider, ClientID: app.Registration.ClientID, Secret: p.secret, Key: p.key}
		if p.certificate.Certificate != nil {
			known.Identity = egress.Identity(*p.certificate.Certificate)
			own = append(own, known.Identity)
		}
		apps[name] = known
	}
	return apps, func() {
		for _, i := range own {
			i.Close()
		}
	}
}

// checkProof notes settings that the app's auth_style has no use for.
func (p providerSettings) checkProof(errs *config.Errors, field string) {
	style := p.AuthStyle
	fits := func(given bool, member string, styles ...provider.AuthStyle) {
		unknown := !slices.Contains([]provider.AuthStyle{provider.AuthParams, provider.AuthHeader, provider.AuthPrivateKeyJWT, provider.AuthTLS}, style)
		errs.Check(!given || unknown || slices.Contains(styles, style), field+"."+member, "is of no use to the auth_style of the provider", "leave it out, or change auth_style")
	}
	fits(!p.ClientSecret.IsZero(), "client_secret", provider.AuthParams, provider.AuthHeader)
	fits(p.ClientSecretFile != "", "client_secret_file", provider.AuthParams, provider.AuthHeader)
	fits(p.PrivateKeyFile != "", "private_key_file", provider.AuthPrivateKeyJWT, provider.AuthTLS)
	fits(p.PrivateKeyID != "", "private_key_id", provider.AuthPrivateKeyJWT)
	fits(p.PrivateKeyAlg != "", "private_key_alg", provider.AuthPrivateKeyJWT)
	fits(p.CertificateFile != "", "certificate_file", provider.AuthTLS)
	errs.Check(slices.Contains([]string{"", "RS256", "PS256", "ES256"}, p.PrivateKeyAlg), field+".private_key_alg", "is not known", "write one of RS256, PS256, ES256")
	if style == provider.AuthTLS {
		for member, url := range map[string]string{"token_url": p.TokenURL, "refresh_url": p.RefreshURL} {
			errs.Check(url == "" || strings.HasPrefix(url, "https:"), field+"."+member, "is not https, where no certificate is shown", "use https")
		}
	}
}

// readProof returns what the app proves itself by; without what will not do.
func (p providerSettings) readProof(errs *config.Errors, field string) (got proof) {
	switch p.AuthStyle {
	case provider.AuthPrivateKeyJWT:
		key := p.readFile(errs, field, "private_key_file", p.PrivateKeyFile)
		defer clear(key)
		if len(key) > 0 {
			var err error
			got.key, err = exchanger.NewClientKey(key, cmp.Or(p.PrivateKeyAlg, "RS256"), p.PrivateKeyID)
			errs.Check(err == nil, field+".private_key_file", fmt.Sprint(err), "name the file of the key whose public half the provider has, and set private_key_alg")
		}
	case provider.AuthTLS:
		chain, key := p.readFile(errs, field, "certificate_file", p.CertificateFile), p.readFile(errs, field, "private_key_file", p.PrivateKeyFile)
		defer clear(key)
		if len(chain) > 0 && len(key) > 0 {
			pair, err := tls.X509KeyPair(chain, key)
			errs.Check(err == nil, field+".certificate_file", "is not the certificate, in PEM, of the key in private_key_file", "name the two files that belong together")
			if err == nil {
				got.certificate = certificate{&pair}
			}
		}
	default:
		got.secret = p.readSecret(errs, field)
	}
	return got
}

// readFile returns what a file holds that has to be there, nil when it will not do.
func (p providerSettings) readFile(errs *config.Errors, field, member, path string) []byte {
	fix := "name a file in PEM for this process to read"
	errs.Check(path != "", field+"."+member, "is missing", fix)
	if path == "" {
		return nil
	}
	body, err := readRegular(path, maxClientSecret)
	if err == nil && len(bytes.TrimSpace(body)) == 0 {
		err = errors.New("is empty")
	}
	if err == nil && len(body) > maxClientSecret {
		err = errors.New("is longer than 16 KiB")
	}
	if err != nil {
		errs.Check(false, field+"."+member, err.Error(), fix)
		clear(body)
		return nil
	}
	return body
}
