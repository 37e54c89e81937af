package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds of an answer, in bytes.
const (
	maxAnswer = 64 << 10 // contract A10
	maxToken  = 32 << 10
	maxMember = 2 << 10 // of what is kept besides the tokens
)

// MalformedError is an answer that cannot be what the provider meant to say. It
// shows no part of it.
type MalformedError struct{ Problem string }

func (e *MalformedError) Error() string { return "the answer of the token endpoint " + e.Problem }

func malformed(problem string) error { return &MalformedError{problem} }

// Read picks from a successful answer what the descriptor says is where. The
// body is JSON, or a form where contentType says so, whatever was asked for. The
// error is a [*MalformedError], or a [*RefusedError] when the answer, for all its
// status, is a refusal.
//
// With a [*MalformedError] comes what there is besides the access token: the refresh
// token may have taken the place of the one that was sent.
func (d Descriptor) Read(contentType string, body []byte) (Fields, error) {
	answer, flaw := parseAnswer(contentType, body)
	if ok, said := at(answer, d.Answer.OK); said && ok != true || isError(answer["error"]) {
		return Fields{}, cmp.Or[error](flaw, d.judge(answer))
	}
	grant := answer
	if v, there := at(answer, d.Answer.Token); there {
		if grant, there = v.(map[string]any); !there {
			return Fields{}, malformed("has no object where its tokens should be")
		}
	}
	f, err := d.fields(answer, grant)
	if err = cmp.Or(flaw, err); err != nil {
		f.AccessToken = ""
	}
	return f, err
}

// fields reads answer, whose tokens are in grant.
func (d Descriptor) fields(answer, grant map[string]any) (f Fields, err error) {
	var flaw error
	f.AccessToken, err = token(grant, "access_token")
	if f.RefreshToken, flaw = token(grant, "refresh_token"); err == nil && f.AccessToken == "" {
		err = malformed("has no access_token")
	}
	err = cmp.Or(err, flaw)
	for _, object := range []map[string]any{grant, answer} { // where it is not a text, it does not say whose they are
		if f.IDToken == "" {
			f.IDToken, _ = token(object, "id_token") //nolint:errcheck // as said
		}
	}
	f.TokenType = short(grant, "token_type")
	f.Lifetime, f.ExpiresAt = d.Expiry.read(grant, f.AccessToken)
	f.Endless = d.Expiry.Endless && f.Lifetime == 0 && f.ExpiresAt.IsZero()
	f.RefreshLifetime = seconds(grant, cmp.Or(d.Refresh.ExpiresField, "refresh_token_expires_in"))
	f.Scopes = d.scopes(answer, grant)
	f.Subject = told(d.Subject.From, d.Subject.Field, answer, f.IDToken)
	f.Issuer = told(d.Issuer.From, d.Issuer.Field, answer, f.IDToken)
	for _, path := range d.Answer.Keep {
		if text := short(answer, path); text != "" {
			if f.Extra == nil {
				f.Extra = make(map[string]string, len(d.Answer.Keep))
			}
			f.Extra[path] = text
		}
	}
	return f, err
}

// token returns a member that is sent on in headers and forms; empty when it is
// not there.
func token(object map[string]any, name string) (string, error) {
	v, there := object[name]
	if !there || v == nil {
		return "", nil
	}
	text, ok := v.(string)
	switch {
	case !ok:
		return "", malformed("has a token that is not one text: " + name)
	case len(text) > maxToken:
		return "", malformed("has a token that is too long: " + name)
	case strings.ContainsFunc(text, notVisible):
		return "", malformed("has a token with characters that no header may hold: " + name)
	}
	return text, nil
}

// notVisible is what a token cannot have in it (RFC 6749 appendix A).
func notVisible(r rune) bool { return r < ' ' || r > '~' }

// short returns a short text or number; empty when there is none.
func short(object map[string]any, path string) string {
	v, _ := at(object, path)
	text, ok := scalar(v)
	if !ok || len(text) > maxMember || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return text
}

func (d Descriptor) scopes(answer, grant map[string]any) []string {
	path := cmp.Or(d.Answer.Scopes, "scope")
	v, there := at(grant, path)
	if !there {
		v, _ = at(answer, path)
	}
	switch v := v.(type) {
	case string:
		return slices.DeleteFunc(d.Scopes.Separator.split(v), func(s string) bool { return !scopeToken.MatchString(s) })
	case []any:
		var scopes []string
		for _, item := range v {
			if s, ok := item.(string); ok && scopeToken.MatchString(s) {
				scopes = append(scopes, s)
			}
		}
		return scopes
	default:
		return nil
	}
}

// told is what an answer has in a field of the place; empty for other places.
func told(from Place, field string, answer map[string]any, idToken string) string {
	switch from {
	case PlaceAnswer:
		return short(answer, field)
	case PlaceIDToken:
		return short(claims(idToken), field)
	default:
		return ""
	}
}

// Elsewhere reports whether an issuer, a URL or a host, is not at the host of
// TokenURL. Empty is not known.
func (d Descriptor) Elsewhere(issuer string) bool {
	host := func(text string) string {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			text = u.Host
		}
		return text
	}
	return issuer != "" && !strings.EqualFold(host(issuer), host(d.TokenURL))
}

// at returns the member at a path.
func at(object map[string]any, path string) (any, bool) {
	if path == "" {
		return nil, false
	}
	name, rest, deeper := strings.Cut(path, ".")
	v, ok := object[name]
	if !deeper || !ok {
		return v, ok
	}
	inner, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	return at(inner, rest)
}

// scalar returns what is one text, number or truth value, as it is written.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}

// twice is in place of a member that an answer has more than once: of two access
// tokens nobody could say which is meant (RFC 6749 section 3.2).
type twice struct{}

// parseAnswer reads a body into members: with an error, as far as it can be read.
func parseAnswer(contentType string, body []byte) (map[string]any, error) {
	if len(body) > maxAnswer {
		return nil, malformed("is too long")
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))) // RFC 8259 section 8.1
	media, _, _ := mime.ParseMediaType(contentType)                  //nolint:errcheck // then it is none
	if media == "application/x-www-form-urlencoded" && !bytes.HasPrefix(body, []byte("{")) {
		return parseForm(body)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, _ := parseValue(dec) //nolint:errcheck // whether it is JSON is asked of the whole
	answer, ok := v.(map[string]any)
	switch {
	case !json.Valid(body):
		return answer, malformed("is neither JSON nor a form")
	case !ok:
		return nil, malformed("is JSON, but no object")
	default:
		return answer, nil
	}
}

func parseForm(body []byte) (map[string]any, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("is a form that cannot be read")
	}
	answer := make(map[string]any, len(form))
	for name, values := range form {
		answer[name] = values[0]
		if len(values) > 1 {
			answer[name] = twice{}
		}
	}
	return answer, nil
}

// parseValue reads the next value, with an error as far as it goes. Unlike
// encoding/json it does not overlook that an object has a member twice.
func parseValue(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	switch {
	case err != nil:
		return nil, err
	case tok == json.Delim('{'):
		return parseObject(dec)
	case tok == json.Delim('['):
		return parseList(dec)
	default:
		return tok, nil
	}
}

func parseObject(dec *json.Decoder) (map[string]any, error) {
	object := map[string]any{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return object, err
		}
		value, err := parseValue(dec)
		key, _ := name.(string) //nolint:errcheck // the decoder takes nothing else for a name
		if _, again := object[key]; again {
			value = twice{}
		}
		object[key] = value
		if err != nil {
			return object, err
		}
	}
	_, err := dec.Token() // the brace
	return object, err
}

func parseList(dec *json.Decoder) ([]any, error) {
	list := []any{}
	for dec.More() {
		value, err := parseValue(dec)
		list = append(list, value)
		if err != nil {
			return list, err
		}
	}
	_, err := dec.Token() // the bracket
	return list, err
}
