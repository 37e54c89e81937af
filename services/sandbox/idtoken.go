package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// idClaims are what an id token says (OpenID Connect Core §2).
type idClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"` // Unix seconds
	Issued   int64  `json:"iat"` // Unix seconds
	Nonce    string `json:"nonce,omitzero"`
}

// idToken makes an unsecured JWT (RFC 7519 §6): it is for a client that has it
// from the issuer itself, and there is no key to check it against.
func idToken(issuer, client string, what given, issued, expires time.Time) string {
	payload, err := json.Marshal(idClaims{
		Issuer: issuer, Subject: what.account, Audience: client, Nonce: what.nonce,
		Expires: expires.Unix(), Issued: issued.Unix(),
	})
	if err != nil {
		return "" // unreachable: texts and numbers always marshal
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + "."
}

// issuer is this server as the caller of r knows it.
func issuer(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// userinfo serves GET /userinfo: whose access token it is, under the names of
// OpenID Connect and of Login with Amazon.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	who := s.Introspect(token)
	if !strings.EqualFold(scheme, "Bearer") || !who.Active || who.Subject == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="sandbox", error="invalid_token"`)
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	if client, err := s.clients.get(who.ClientID); err == nil {
		client.count(func(c *Counters) { c.Userinfo++ })
	}
	writeJSON(w, http.StatusOK, map[string]string{"sub": who.Subject, "user_id": who.Subject})
}
