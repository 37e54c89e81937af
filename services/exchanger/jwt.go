package exchanger

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// clockSkew is how far iat is dated back: a server whose clock is a little
// behind refuses a JWT from its future.
const clockSkew = 30 * time.Second

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523 section 2.1

// assertionField is the form field of the JWT unless the secret's options name
// another under jwtParam (contract A9).
const (
	assertionField = "assertion"
	jwtParam       = "jwt_param"
)

// jwt signs a JWT and exchanges it; without a token endpoint the JWT itself is
// the value (contract A10).
func (x *Exchanger) jwt(ctx context.Context, c *claim) (got, error) {
	public := c.secret.Credentials
	if public.TokenURL == "" {
		jwt, iat, err := x.sign(ctx, c, x.now())
		return got{
			value:    jwt,
			lifetime: secret.Lifetime(public.TTL), offset: public.Offset(), since: iat,
		}, err
	}
	var g got
	ahead, err := x.bear(ctx, c, func(r TokenRequest) (err error) {
		g, err = x.ask(ctx, c, r)
		return err
	})
	g.warnOfClock(ahead)
	return g, err
}

// jwtBearerRequest is the request of RFC 7523 section 2.1.
func jwtBearerRequest(public secret.Credentials, jwt seal.Plaintext) TokenRequest {
	field, options := assertionField, maps.Clone(public.Options)
	if name := options[jwtParam]; name != "" {
		field = name
	}
	delete(options, jwtParam)
	return TokenRequest{
		URL: public.TokenURL, Style: Unauthenticated, Grant: grantJWTBearer,
		Fields: []Field{{field, jwt}}, Options: options,
	}
}

// sign signs a JWT with the secret's key, at the time now of whoever is to take it.
// It is good from iat on.
func (x *Exchanger) sign(ctx context.Context, c *claim, now time.Time) (jwt seal.Plaintext, iat time.Time, err error) {
	pemKey, err := x.open(ctx, c, "private_key")
	if err != nil {
		return jwt, iat, err
	}
	defer pemKey.Wipe()
	key, err := parseKey(pemKey)
	if err != nil {
		return jwt, iat, err
	}
	return signJWT(c.secret.Credentials, key, now)
}

// signJWT signs the claims of a secret (RFC 7519, RFC 7515) with RS256. It is
// good from iat, a little before now, for the secret's ttl.
func signJWT(c secret.Credentials, key *rsa.PrivateKey, now time.Time) (jwt seal.Plaintext, iat time.Time, err error) {
	iat = now.Add(-clockSkew).Truncate(time.Second)
	header := map[string]any{"alg": "RS256", "typ": "JWT"}
	if c.PrivateKeyID != "" {
		header["kid"] = c.PrivateKeyID
	}
	claims := map[string]any{}
	if len(c.CustomClaims) > 0 {
		var custom map[string]json.RawMessage
		if err := json.Unmarshal(c.CustomClaims, &custom); err != nil {
			return seal.Plaintext{}, iat, err
		}
		for name, value := range custom {
			claims[name] = value
		}
	}
	// After the custom ones, so that these cannot stand in for them.
	maps.Copy(claims, map[string]any{"iss": c.Iss, "aud": c.Aud, "iat": iat.Unix(), "exp": iat.Unix() + c.TTL})
	delete(claims, "sub")
	if c.Sub != "" {
		claims["sub"] = c.Sub
	}
	signed, err := signingInput(header, claims)
	if err != nil {
		return seal.Plaintext{}, iat, err
	}
	digest := sha256.Sum256(signed)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return seal.Plaintext{}, iat, err
	}
	signed = base64.RawURLEncoding.AppendEncode(append(signed, '.'), signature)
	defer clear(signed)
	return seal.NewPlaintext(signed), iat, nil
}

func signingInput(header, claims map[string]any) ([]byte, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	signed := base64.RawURLEncoding.AppendEncode(nil, h)
	return base64.RawURLEncoding.AppendEncode(append(signed, '.'), c), nil
}

// parseKey reads the private key that was checked when the secret was created.
func parseKey(p seal.Plaintext) (*rsa.PrivateKey, error) {
	text := p.Reveal()
	defer clear(text)
	key, err := secret.SigningKey(text)
	switch {
	case errors.Is(err, secret.ErrNotPEM):
		return nil, failed(events.ReasonCannotOpen, "the stored private_key is not PEM: send it again")
	case err != nil:
		return nil, failed(events.ReasonCannotOpen, "the stored private_key is not an RSA key: send it again")
	}
	return key, nil
}
