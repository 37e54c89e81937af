package sandbox

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of a token request.
const (
	maxFields = 64  // form fields, and URL parameters
	maxName   = 64  // bytes of a field's name, cut in the ledger
	maxOption = 256 // bytes of an option's value, cut in the ledger
)

// The grant types known here (RFC 6749 §4 and §6).
const (
	grantClientCredentials = "client_credentials"
	grantCode              = "authorization_code"
	grantRefresh           = "refresh_token"
)

// refusal answers a request that is itself at fault (RFC 6749 §5.2).
type refusal struct {
	status int
	code   string
	text   string
}

var (
	notForm          = &refusal{http.StatusBadRequest, "invalid_request", "the body must be application/x-www-form-urlencoded"}
	notReadable      = &refusal{http.StatusBadRequest, "invalid_request", "the body cannot be read"}
	tooLarge         = &refusal{http.StatusRequestEntityTooLarge, "invalid_request", "the body is too large"}
	repeatedField    = &refusal{http.StatusBadRequest, "invalid_request", "a parameter is repeated"}
	twoStyles        = &refusal{http.StatusBadRequest, "invalid_request", "more than one client authentication"}
	noGrant          = &refusal{http.StatusBadRequest, "invalid_request", "grant_type is missing"}
	noCodeFlow       = &refusal{http.StatusBadRequest, "unauthorized_client", "the client is not registered for codes"}
	unknownGrant     = &refusal{http.StatusBadRequest, "unsupported_grant_type", "this grant is not served"}
	badCredentials   = &refusal{http.StatusUnauthorized, "invalid_client", "the client authentication cannot be read"}
	unknownClient    = &refusal{http.StatusUnauthorized, "invalid_client", "the client is unknown"}
	wrongStyle       = &refusal{http.StatusUnauthorized, "invalid_client", "the client is registered for another authentication style"}
	wrongSecret      = &refusal{http.StatusUnauthorized, "invalid_client", "the client secret is wrong"}
	wrongCertificate = &refusal{http.StatusUnauthorized, "invalid_client", "the connection shows another certificate"}
	serverIsFull     = &refusal{http.StatusServiceUnavailable, "temporarily_unavailable", "too many clients"}
)

// grantRefusal tells why a grant type is not served to a client, or nil.
func grantRefusal(grant string, codes bool) *refusal {
	switch grant {
	case grantClientCredentials:
		return nil
	case grantCode, grantRefresh:
		if !codes {
			return noCodeFlow
		}
		return nil
	case "":
		return noGrant
	default:
		return unknownGrant
	}
}

// call is a token request as read, not yet judged.
type call struct {
	id, secret string
	style      AuthStyle
	grant      string
	scope      string
	format     RequestFormat
	params     url.Values // as sent
	basic      bool       // id and secret are from the header
	fields     []string
	query      []string
	options    map[string]string
	refusal    *refusal // first thing found wrong

	endpoint    string // as an assertion names it
	assertion   string
	certificate string // the SHA-256 of what the connection shows, in hex

	code, redirectURI, verifier string
	refreshToken                string
	said                        claims // by the code or the refresh token
}

// refuse notes why the call is refused; the first reason stays.
func (c *call) refuse(why *refusal) {
	if c.refusal == nil {
		c.refusal = why
	}
}

// token serves POST /token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	c := readCall(w, r)
	client := s.clients.find(c)
	c.rename(client.requestStyle())
	c.open(s.mint)
	now := s.cfg.Now()
	v := client.admit(c, now, &s.seq)
	s.logCall(r, v)

	a := answer{scope: v.given.scope, challenge: r.Header.Get("Authorization") != ""}
	if v.issue {
		a.lifetime = s.lifetime(v, now)
		client.issued(v.given.grant, now.Add(a.lifetime))
		said := claims{kind: kindAccess, owner: c.id, incarnation: client.incarnation, issued: now, expires: now.Add(a.lifetime), grant: v.given.grant}
		a.token = s.mint.token(said)
		a.refreshFor = v.given.refreshFor
		a.refreshToken = s.refreshToken(c, client, v)
		if v.given.openid {
			a.idToken = idToken(issuer(r), c.id, v.given, now, now.Add(a.lifetime))
		}
	}
	err := pause(r.Context(), v)
	client.leave()
	if err != nil {
		cut(w, gently)
		return
	}
	a.send(w, r, v)
}

// open reads what the code or the refresh token says, if it is of this server.
func (c *call) open(m mint) {
	switch c.grant {
	case grantCode:
		c.said, _ = m.open(kindCode, c.code)
	case grantRefresh:
		c.said, _ = m.open(kindRefresh, c.refreshToken)
	}
}

// lifetime of the access token that the verdict issues.
func (s *Server) lifetime(v verdict, now time.Time) time.Duration {
	if v.step.Lifetime != nil {
		return time.Duration(*v.step.Lifetime)
	}
	life := cmp.Or(v.given.lifetime, s.cfg.Lifetime)
	if ends := v.given.accessEnds; !ends.IsZero() {
		return min(life, ends.Sub(now))
	}
	return life
}

// refreshToken makes the refresh token of an answer, or repeats the one that was
// presented; empty when none is given.
func (s *Server) refreshToken(c *call, client *record, v verdict) string {
	switch v.given.refresh {
	case 0:
		return ""
	case v.entry.RefreshToken:
		return c.refreshToken
	default:
		return s.mint.token(claims{kind: kindRefresh, owner: c.id, incarnation: client.incarnation, grant: v.given.grant, number: v.given.refresh})
	}
}

// logCall writes one Debug record, and into it nothing that the caller sent: the
// number leads to the ledger.
func (s *Server) logCall(r *http.Request, v verdict) {
	if s.cfg.Log.Enabled(r.Context(), slog.LevelDebug) {
		s.cfg.Log.DebugContext(r.Context(), "token request",
			"request", v.entry.Seq, "outcome", string(v.entry.Outcome), "reason", v.entry.Error)
	}
}

// readCall reads a request to the token endpoint. What is wrong with it becomes
// the call's refusal, since even a broken request must be counted.
func readCall(w http.ResponseWriter, r *http.Request) *call {
	c := &call{endpoint: issuer(r) + r.URL.Path}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		c.certificate = fmt.Sprintf("%x", sha256.Sum256(r.TLS.PeerCertificates[0].Raw))
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) > maxFields {
		c.refuse(notReadable)
	} else {
		c.query = names(query)
	}
	params, format, why := readParameters(w, r)
	if why != nil {
		c.refuse(why)
	}
	c.params, c.format = params, format
	if format != FormatQuery {
		c.fields = names(params)
	}
	c.readForm(params)
	c.readCredentials(r, params)
	return c
}

// rename reads the parameters again, by the names that the client gives them.
func (c *call) rename(q *Requests) {
	if q == nil || len(q.Names) == 0 {
		return
	}
	ours := q.named(c.params)
	c.readForm(ours)
	if !c.basic {
		c.readBody(ours)
	}
}

// readForm reads a form-encoded body within its bounds. After a refusal the form
// holds what could be read.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, *refusal) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, notForm
	}
	body, err := readBody(w, r, maxTokenBody)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge
	}
	if err != nil {
		return nil, notReadable
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form) > maxFields {
		return nil, notReadable
	}
	return form, repeated(form)
}

// readForm takes from the form what is no credential of the client.
func (c *call) readForm(form url.Values) {
	c.grant = form.Get("grant_type")
	c.scope = form.Get("scope")
	c.code, c.redirectURI, c.verifier = form.Get("code"), form.Get("redirect_uri"), form.Get("code_verifier")
	c.refreshToken = form.Get("refresh_token")
	for _, name := range []string{"scope", "audience", "resource"} {
		if !form.Has(name) {
			continue
		}
		if c.options == nil {
			c.options = map[string]string{}
		}
		c.options[name] = clip(form.Get(name), maxOption)
	}
}

// readCredentials takes the client's id and secret from the header or the body,
// never from both (RFC 6749 §2.3).
func (c *call) readCredentials(r *http.Request, form url.Values) {
	c.readBody(form)
	if r.Header.Get("Authorization") == "" {
		return
	}
	inBody := *c
	c.basic = true
	id, secret, ok := basicAuth(r)
	c.id, c.secret, c.style = id, secret, AuthBasic
	if !ok {
		c.refuse(badCredentials)
	}
	if inBody.style != "" && inBody.style != AuthTLS || inBody.id != "" && inBody.id != id {
		c.refuse(twoStyles)
	}
}

// readBody takes the client's id and secret from the parameters.
func (c *call) readBody(form url.Values) {
	c.id, c.secret, c.style = form.Get("client_id"), form.Get("client_secret"), ""
	switch {
	case form.Has("client_secret"):
		c.style = AuthPost
	case form.Get("client_assertion_type") == assertionType:
		c.style, c.assertion = AuthAssertion, form.Get("client_assertion")
		if said, ok := readAssertion(c.assertion); ok && c.id == "" {
			c.id = said.claims.Sub // RFC 7521 §4.2
		}
	case c.certificate != "":
		c.style = AuthTLS
	}
}

// basicAuth reads the Authorization header, of which both parts were
// form-encoded before they were joined (RFC 6749 §2.3.1).
func basicAuth(r *http.Request) (id, secret string, ok bool) {
	user, password, ok := r.BasicAuth()
	id, idErr := url.QueryUnescape(user)
	secret, secretErr := url.QueryUnescape(password)
	return id, secret, ok && idErr == nil && secretErr == nil
}

// names returns the keys, cut and ordered; nil when there are none.
func names(values url.Values) []string {
	if len(values) == 0 {
		return nil
	}
	list := make([]string, 0, len(values))
	for name := range values {
		list = append(list, clip(name, maxName))
	}
	slices.Sort(list)
	return list
}

// clip cuts s to at most n bytes of valid UTF-8 and copies it if it was cut, so
// that a ledger does not keep a whole body alive.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(strings.Clone(s[:n]), "")
}
