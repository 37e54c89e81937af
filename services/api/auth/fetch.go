package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	fetchIn  = 5 * time.Second // for one answer of an issuer
	maxFetch = 1 << 20         // bytes of one
	maxKeys  = 100
)

// Why the keys of an issuer could not be fetched. What the issuer has answered is
// never told.
var (
	errPlainHTTP = errors.New("plain http to another machine")
	errDiscovery = errors.New("its discovery document (/.well-known/openid-configuration) is missing or unusable")
	errMismatch  = errors.New("its discovery document names another issuer than the configuration: they must be the same, letter for letter")
	errKeys      = errors.New("its keys (jwks_uri) are missing or unusable")
)

// fetch asks the issuer where its keys are, and for them (OpenID Connect Discovery
// 1.0, section 4).
func (i *issuer) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*fetchIn)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.URL)
	if err != nil {
		return nil, unfetched(err, errDiscovery)
	}
	var places struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&places); err != nil || places.Keys == "" {
		return nil, errDiscovery
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, places.Keys, nil)
	if err != nil {
		return nil, errDiscovery
	}
	answer, err := i.client.Do(request)
	if err != nil {
		return nil, unfetched(err, errKeys)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, errKeys
	}
	return keysOf(body)
}

// unfetched says why there was no answer, or otherwise what was wrong with it.
func unfetched(err, otherwise error) error {
	if _, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		return errMismatch
	}
	if failed, ok := errors.AsType[*url.Error](err); ok { // the network's words
		return fmt.Errorf("%w: %w", otherwise, failed.Err)
	}
	return otherwise
}

// keysOf returns the public keys for signatures in a JWK Set. A key of a kind that is not
// known here, or one that is flawed, does not spoil the others (RFC 7517, section 5).
func keysOf(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil || len(set.Keys) > maxKeys {
		return nil, errKeys
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) == nil && k.Valid() && k.IsPublic() && (k.Use == "" || k.Use == "sig") {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errKeys
	}
	return keys, nil
}

// newIssuerClient returns a client for one issuer. Issuers are named by whoever
// configures the deployment, so they may be in any network; all the same nothing of
// theirs is followed elsewhere, unencrypted, for long, or without a bound.
func newIssuerClient(loopback bool, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:       fetchIn,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &guarded{loopback: loopback, Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    fetchIn,
			MaxIdleConns:           2,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 32 << 10,
			ForceAttemptHTTP2:      true,
		}},
	}
}

// guarded speaks https, and plain http with this machine if that is allowed.
type guarded struct {
	*http.Transport
	loopback bool
}

// RoundTrip implements http.RoundTripper.
func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !(g.loopback && IsLoopback(r.URL.Hostname())) {
		return nil, errPlainHTTP
	}
	answer, err := g.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxFetch), answer.Body}
	return answer, nil
}

// IsLoopback reports whether a host is this machine itself, by its name alone.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
