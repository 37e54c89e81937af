package sandbox

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What is wrong with an authorization request before it is known that the
// browser may be sent back: shown, never redirected (RFC 6749 §4.1.2.1).
const (
	flawQuery    = "The request cannot be read, or names its client or redirect_uri twice."
	flawClient   = "The client is unknown."
	flawFlow     = "The client is not registered for codes."
	flawRedirect = "The redirect_uri is not registered for the client."
	flawForm     = "The decision cannot be read."
)

// ask is an authorization request whose redirect URI is the client's.
type ask struct {
	client      *record
	flow        *CodeFlow // the client's as the request came; nobody changes it in place
	query       url.Values
	redirectURI string
}

// response is how an authorization request ended: with a code, or an error.
type response struct {
	grant  uint64 // 0 for an error
	err    string
	text   string // about the error, for people
	params map[string]string
}

// authorize serves GET /authorize, and POST for what the page of a dialog sends
// (RFC 6749 §3.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	a, flaw := s.readAsk(r)
	if flaw != "" {
		writePage(w, http.StatusBadRequest, page{Flaw: flaw})
		return
	}
	decision, flaw := readDecision(w, r)
	if flaw != "" {
		writePage(w, http.StatusBadRequest, page{Flaw: flaw})
		return
	}
	why := a.objection()
	if a.flow.Dialog == DialogPage && why == nil && decision == nil {
		writePage(w, http.StatusOK, page{Client: a.query.Get("client_id"), Scopes: a.scopes(), Account: a.client.offer(a)})
		return
	}
	end := a.client.decide(a, why, decision, s.cfg.Now())
	s.redirect(w, r, a, end)
}

// readAsk reads an authorization request as far as it takes to know where its
// browser may be sent back to, or tells the flaw that is in the way.
func (s *Server) readAsk(r *http.Request) (ask, string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(query) > maxFields || len(query["client_id"]) > 1 || len(query["redirect_uri"]) > 1 {
		return ask{}, flawQuery
	}
	client, err := s.clients.welcome(query.Get("client_id"))
	if err != nil {
		return ask{}, flawClient
	}
	flow := client.codeFlow()
	if flow == nil {
		return ask{}, flawFlow
	}
	uri := query.Get("redirect_uri")
	if !flow.admits(uri) {
		return ask{}, flawRedirect
	}
	return ask{client, flow, query, uri}, ""
}

func (a ask) scopes() []string { return splitScopes(a.query.Get("scope")) }

// refreshes reports whether consent to a brings a refresh token; again says that
// the account has another grant that stands.
func (a ask) refreshes(again bool) bool {
	switch a.flow.RefreshTokens.Issue {
	case IssueNever:
		return false
	case IssueOffline:
		forced := a.query.Get("approval_prompt") == "force" || slices.Contains(strings.Fields(a.query.Get("prompt")), "consent")
		return a.query.Get("access_type") == "offline" && (forced || !again)
	default:
		return true
	}
}

// challenge is the form of every S256 code challenge (RFC 7636 §4.2).
var challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// The objections that the client is sent (RFC 6749 §4.1.2.1, RFC 7636 §4.4.1).
var (
	askedTwice  = &response{err: "invalid_request", text: "a parameter is repeated"}
	noType      = &response{err: "invalid_request", text: "response_type is missing"}
	unknownType = &response{err: "unsupported_response_type", text: "want response_type=code"}
	longAsk     = &response{err: "invalid_request", text: "state, nonce or scope is too long"}
	wrongScope  = &response{err: "invalid_scope", text: "a scope is not registered for the client"}
	noChallenge = &response{err: "invalid_request", text: "code_challenge is missing"}
	badMethod   = &response{err: "invalid_request", text: "want code_challenge_method=S256"}
	badProof    = &response{err: "invalid_request", text: "the code_challenge is not that of S256"}
)

// objection tells what the client did wrong in a, or nil.
func (a ask) objection() *response {
	flow, query := a.flow, a.query
	for _, values := range query {
		if len(values) > 1 {
			return askedTwice
		}
	}
	proof, method := query.Get("code_challenge"), query.Get("code_challenge_method")
	switch {
	case query.Get("response_type") == "":
		return noType
	case query.Get("response_type") != "code":
		return unknownType
	case len(query.Get("state")) > 4*maxText || len(query.Get("nonce")) > maxText || !shortTexts(a.scopes(), maxScopes):
		return longAsk
	case len(flow.Scopes) > 0 && !subset(a.scopes(), flow.Scopes):
		return wrongScope
	case proof == "" && (flow.RequirePKCE || method != ""):
		return noChallenge
	case proof != "" && method != "S256":
		return badMethod
	case proof != "" && !challenge.MatchString(proof):
		return badProof
	default:
		return nil
	}
}

// codeFlow returns the client's settings; nil when it has none.
func (r *record) codeFlow() *CodeFlow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client.CodeFlow
}

// offer is the account that a person may decide for.
func (r *record) offer(a ask) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return cmp.Or(r.nextConsent(a.flow).Account, defaultAccount)
}

// nextConsent is the consent that the script has next.
func (r *record) nextConsent(flow *CodeFlow) Consent {
	if len(flow.Consents) == 0 {
		return Consent{}
	}
	return flow.Consents[min(r.consents, len(flow.Consents)-1)]
}

// decide counts a request that comes to its end, and ends it: with the objection
// why, or by the consent that is next in the script as the person's decision, if
// there is one, changes it.
func (r *record) decide(a ask, why *response, said *decision, now time.Time) response {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counters.Authorizations++
	if why != nil {
		return *why
	}
	next := r.nextConsent(a.flow)
	r.consents = min(r.consents+1, len(a.flow.Consents))
	if said != nil && a.flow.Dialog == DialogPage {
		next = said.amend(next)
	}
	if next.Error != "" {
		return response{err: next.Error, params: next.Params}
	}
	return response{grant: r.consent(a, next, now), params: next.Params}
}

// consent makes the grant of a consent and returns its number.
func (r *record) consent(a ask, c Consent, now time.Time) uint64 {
	account := cmp.Or(c.Account, defaultAccount)
	g := &grant{
		redirectURI: a.redirectURI,
		challenge:   a.query.Get("code_challenge"),
		nonce:       a.query.Get("nonce"),
		refreshes:   a.refreshes(r.grants.standing(account, now)),
		codeEnds:    now.Add(time.Duration(cmp.Or(a.flow.CodeLifetime, Duration(defaultCodeLifetime)))),
	}
	g.Account, g.AuthorizedAt, g.Scopes = account, now, a.scopes()
	if c.Scopes != nil {
		g.Scopes = slices.Clone(c.Scopes)
	}
	r.grants.add(g)
	return g.Number
}

// redirect sends the browser back with the code or the error, and the state
// (RFC 6749 §4.1.2).
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, a ask, end response) {
	params := map[string]string{}
	if end.err == "" {
		params["code"] = s.mint.token(claims{kind: kindCode, owner: a.query.Get("client_id"), incarnation: a.client.incarnation, grant: end.grant})
	} else {
		params["error"] = end.err
		if end.text != "" {
			params["error_description"] = end.text
		}
	}
	if a.query.Has("state") {
		params["state"] = a.query.Get("state")
	}
	if a.flow.Issuer {
		params["iss"] = issuer(r)
	}
	maps.Copy(params, end.params)
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // what was posted stays here (RFC 9700 §4.12)
	}
	h := w.Header()
	h.Set("Location", extend(a.redirectURI, params))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
}

// extend adds parameters to a URI, whose own query stays as it is.
func extend(uri string, params map[string]string) string {
	more := url.Values{}
	for name, value := range params {
		more.Set(name, value)
	}
	base, query, _ := strings.Cut(uri, "?")
	if query != "" {
		query += "&"
	}
	return base + "?" + query + more.Encode()
}
