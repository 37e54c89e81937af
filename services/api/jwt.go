package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Bounds of what a JWT is made of.
const (
	maxClaim        = 2 << 10 // bytes of a registered claim
	maxCustomClaims = 8 << 10 // bytes of JSON
	maxTTL          = maxOffset
	minRSABits      = 2048 // RFC 7518, section 3.3
)

// registered are the claims that have members of their own or are computed.
var registered = []string{"iss", "aud", "sub", "iat", "exp"}

// requestFields are the fields of a token request that a JWT cannot go by the name
// of.
var requestFields = []string{"grant_type", "client_id", "client_secret", "jwt_param"}

// readJWT reads the public credentials of oauth2-jwt (contract A9). Without a
// token_url the signed JWT itself is the value.
func readJWT(c *Object, public *secret.Credentials, w secret.Window) {
	c.require("iss", "aud", "ttl", "alg")
	public.Iss, _ = c.text("iss", maxClaim)
	public.Aud, _ = c.text("aud", maxClaim)
	public.Sub, _ = c.text("sub", maxClaim)
	if ttl, ok := c.seconds("ttl", maxTTL); ok {
		if public.TTL = ttl; ttl == 0 {
			c.fault("ttl", "must be at least 1")
		}
	}
	public.Alg, _ = c.oneOf("alg", "RS256")
	public.CustomClaims = customClaims(c)
	public.PrivateKeyID, _ = c.text("private_key_id", maxIdentifier)
	if url, ok := c.text("token_url", maxURL); ok {
		public.TokenURL = url
		checkURL(c, "token_url", url)
	}
	public.RefreshOffset = refreshOffset(c, w)
	public.Options = options(c)
	if name := public.Options["jwt_param"]; slices.Contains(requestFields, name) {
		c.fault("options", fmt.Sprintf("must not have %s for jwt_param: the request has a field of that name", name))
	}
}

// customClaims reads further claims, which must not stand in for the registered
// ones.
func customClaims(c *Object) json.RawMessage {
	claims, ok := c.object("custom_claims")
	if !ok || len(claims.members) == 0 {
		return nil
	}
	for _, name := range registered {
		if _, ok := claims.members[name]; ok {
			claims.fault(name, "must not be a custom claim")
		}
	}
	encoded, err := json.Marshal(claims.members)
	if err != nil || len(encoded) > maxCustomClaims {
		c.fault("custom_claims", fmt.Sprintf("must be at most %d bytes of JSON", maxCustomClaims))
		return nil
	}
	return encoded
}

// checkPrivateKey notes a key that could not sign, so that it is found out now
// and not at the first exchange.
func checkPrivateKey(c *Object, p seal.Plaintext) {
	if p.IsZero() {
		return
	}
	text := p.Reveal()
	defer clear(text)
	key, err := secret.SigningKey(text)
	switch {
	case errors.Is(err, secret.ErrNotPEM):
		c.fault("private_key", "must be a private key in PEM")
	case err != nil:
		c.fault("private_key", "must be an RSA private key (PKCS #8 or PKCS #1), not encrypted")
	case key.N.BitLen() < minRSABits:
		c.fault("private_key", fmt.Sprintf("must have at least %d bits", minRSABits))
	}
}
