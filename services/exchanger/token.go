package exchanger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// AuthStyle is how a client proves to the token endpoint who it is. It belongs
// to the secret's configuration and is never found out by trying: a second try
// is a second request.
type AuthStyle int

// The styles.
const (
	// InParams sends client_id and client_secret in the form (contract A10).
	InParams AuthStyle = iota
	// InHeader sends them by HTTP Basic, each form-encoded first (RFC 6749
	// section 2.3.1), and not in the form.
	InHeader
	// Unauthenticated sends neither: the grant itself proves who asks
	// (RFC 7523 section 2.1).
	Unauthenticated
)

// TokenRequest is one request to a token endpoint.
type TokenRequest struct {
	// URL is the token endpoint; its query is kept.
	URL          string
	Style        AuthStyle
	ClientID     string
	ClientSecret seal.Plaintext
	// Grant is the grant_type.
	Grant string
	// Fields are what the grant consists of, in the order in which they are
	// sent.
	Fields []Field
	// Options are further fields of the form. grant_type among them replaces
	// Grant; client_id and client_secret are refused when a secret is created
	// and are never taken from here.
	Options map[string]string
}

// Field is a field of the form whose value nobody else may see.
type Field struct {
	Name  string
	Value seal.Plaintext
}

const grantClientCredentials = "client_credentials" // RFC 6749 section 4.4

const (
	maxAnswerBytes = 64 << 10 // contract A10
	userAgent      = "rekindle"
)

// Exchange sends one token request and reads its answer. The plaintext of the
// request is overwritten when net/http is done with it, apart from the copies
// in its own buffers; r.ClientSecret stays the caller's to wipe, and the
// answer's access token becomes so.
//
// The error is an [*ExchangeError], or, when ctx ended before the outcome was
// known, ctx's error: interrupted, which is no verdict on the provider.
func (c *Client) Exchange(ctx context.Context, r TokenRequest) (Answer, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var reached progress
	req, err := r.build(reached.watch(bounded))
	if err != nil {
		return Answer{}, err
	}
	resp, err := c.do(req)
	if err != nil {
		return Answer{}, c.broken(ctx, bounded, err, &reached)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readAnswer(resp)
	defer clear(body)
	switch {
	case resp.StatusCode != http.StatusOK:
		return Answer{}, refused(resp.StatusCode, resp.Header, body)
	case err != nil:
		return Answer{}, c.broken(ctx, bounded, err, &reached)
	case len(body) > maxAnswerBytes:
		return Answer{}, tooLarge()
	default:
		return decodeAnswer(body)
	}
}

// readAnswer reads the body to its end, so that the connection can be used
// again, or to one byte more than is accepted. What it returns with an error is
// the part that came.
func readAnswer(resp *http.Response) ([]byte, error) {
	size := 4 << 10
	if n := resp.ContentLength; n >= 0 && n <= maxAnswerBytes {
		size = int(n) + bytes.MinRead // read without growing, which would leave copies
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	_, err := buf.ReadFrom(io.LimitReader(resp.Body, maxAnswerBytes+1))
	return buf.Bytes(), err
}

// build makes the HTTP request. It is not made by http.NewRequest, whose errors
// quote the URL.
func (r TokenRequest) build(ctx context.Context) (*http.Request, error) {
	endpoint, err := url.Parse(r.URL)
	if err != nil || endpoint.Hostname() == "" || endpoint.User != nil ||
		endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, badTokenURL()
	}
	body := newForm(r)
	req := &http.Request{
		Method: http.MethodPost,
		URL:    endpoint,
		Host:   endpoint.Host,
		Header: http.Header{
			"Accept":       {"application/json"},
			"Content-Type": {"application/x-www-form-urlencoded"},
			"User-Agent":   {userAgent},
		},
		Body:          body,
		ContentLength: int64(len(body.rest)),
		// Asked for only when nothing of the request was written; see Client.
		GetBody: func() (io.ReadCloser, error) { return newForm(r), nil },
	}
	if r.Style == InHeader {
		req.Header["Authorization"] = []string{r.basic()}
	}
	return req.WithContext(ctx), nil
}

// form encodes the fields, in the order of contract A10 and the options by name.
func (r TokenRequest) form() []byte {
	secret := r.ClientSecret.Reveal()
	defer clear(secret)
	grant, ok := r.Options["grant_type"]
	if !ok {
		grant = r.Grant
	}
	form := make([]byte, 0, r.formSize(grant))
	form = appendField(form, "grant_type", grant)
	if r.Style == InParams {
		form = appendField(form, "client_id", r.ClientID)
		form = appendField(form, "client_secret", secret)
	}
	for _, f := range r.Fields {
		value := f.Value.Reveal()
		form = appendField(form, f.Name, value)
		clear(value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		switch name {
		case "grant_type", "client_id", "client_secret":
		default:
			form = appendField(form, name, r.Options[name])
		}
	}
	return form
}

// formSize is the most that form can need: a form that had to grow would leave
// copies of secrets behind.
func (r TokenRequest) formSize(grant string) int {
	const escaped = 3 // bytes of form for a byte of value
	size := len("grant_type=&client_id=&client_secret=") + escaped*(len(grant)+len(r.ClientID)+r.ClientSecret.Len())
	for _, f := range r.Fields {
		size += len("&=") + escaped*(len(f.Name)+f.Value.Len())
	}
	for name, value := range r.Options {
		size += len("&=") + escaped*(len(name)+len(value))
	}
	return size
}

func appendField[T string | []byte](form []byte, name string, value T) []byte {
	if len(form) > 0 {
		form = append(form, '&')
	}
	return appendEscaped(append(appendEscaped(form, name), '='), value)
}

func (r TokenRequest) basic() string {
	revealed := r.ClientSecret.Reveal()
	defer clear(revealed)
	pair := make([]byte, 0, 3*(len(r.ClientID)+len(revealed))+1)
	pair = append(appendEscaped(pair, r.ClientID), ':')
	pair = appendEscaped(pair, revealed)
	defer clear(pair)
	return "Basic " + base64.StdEncoding.EncodeToString(pair)
}

// appendEscaped is url.QueryEscape for bytes that are to be overwritten later,
// which strings cannot be.
func appendEscaped[T string | []byte](to []byte, value T) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(value) {
		switch b := value[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9',
			b == '-', b == '_', b == '.', b == '~':
			to = append(to, b)
		case b == ' ':
			to = append(to, '+')
		default:
			to = append(to, '%', hex[b>>4], hex[b&15])
		}
	}
	return to
}

// formBody is a request body that is overwritten when it is closed. net/http
// may close it from another goroutine than the one that reads it.
type formBody struct {
	mu   sync.Mutex
	form []byte
	rest []byte // what has not been read
}

func newForm(r TokenRequest) *formBody {
	form := r.form()
	return &formBody{form: form, rest: form}
}

// Read implements io.Reader.
func (b *formBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close overwrites the form.
func (b *formBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.form)
	b.rest = nil
	return nil
}

// Answer is what a token endpoint gave.
type Answer struct {
	AccessToken seal.Plaintext
	// Lifetime is whole seconds, at least one (secret.Lifetime).
	Lifetime time.Duration
	// TokenType is one of the registered types in its registered spelling, or
	// empty for any other.
	TokenType string
}

const (
	maxAccessTokenBytes = 32 << 10
	maxNumberBytes      = 32 // of an expires_in, as text
)

// decodeAnswer reads the body of a 200. What it accepts is RFC 6749 section 5.1
// with the lenience of contract A10 for expires_in; of what is not read nothing
// is asked but that it be JSON.
func decodeAnswer(body []byte) (Answer, error) {
	m, err := readMembers(body)
	defer clear(m.accessToken)
	if err != nil {
		return Answer{}, err
	}
	if m.hasError() {
		return Answer{}, rejected(http.StatusOK, m.errorCode())
	}
	token, err := accessToken(m.accessToken)
	if err != nil {
		return Answer{}, err
	}
	ends, err := lifetime(m.expiresIn)
	if err != nil {
		token.Wipe()
		return Answer{}, err
	}
	return Answer{AccessToken: token, Lifetime: ends, TokenType: tokenType(m.tokenType)}, nil
}

// members are the members of a token endpoint's answer that are read, as raw
// JSON: nil when absent.
type members struct{ accessToken, expiresIn, tokenType, failure json.RawMessage }

// readMembers reads a JSON object with nothing behind it. Names count letter by
// letter. A member that is read must not be there twice (RFC 6749 section 3.2):
// of two access tokens nobody could say which one is meant.
func readMembers(body []byte) (members, error) {
	var m members
	if !json.Valid(body) {
		return m, notJSON(body)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if start, _ := dec.Token(); start != json.Delim('{') { //nolint:errcheck // it is valid JSON
		return m, malformed("a JSON value that is not an object")
	}
	for dec.More() {
		name, _ := dec.Token() //nolint:errcheck // it is valid JSON
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return m, notJSON(body)
		}
		known := m.named(name)
		if known == nil {
			continue
		}
		if *known != nil {
			return m, malformed("a member of the token response twice")
		}
		*known = value
	}
	return m, nil
}

func (m *members) named(name json.Token) *json.RawMessage {
	switch name {
	case "access_token":
		return &m.accessToken
	case "expires_in":
		return &m.expiresIn
	case "token_type":
		return &m.tokenType
	case "error":
		return &m.failure
	default:
		return nil
	}
}

// hasError reports whether the answer says that it is an error. Some providers
// send the member with every answer and leave it empty.
func (m *members) hasError() bool {
	switch string(m.failure) {
	case "", "null", `""`, "false":
		return false
	default:
		return true
	}
}

// errorCode is the OAuth error code as sent: the provider's text, to be compared
// and not to be passed on.
func (m *members) errorCode() string {
	code, _ := text(m.failure)
	return code
}

// accessToken accepts what RFC 6749 appendix A.12 does, so that a token can
// neither end nor forge a header it is put into.
func accessToken(raw json.RawMessage) (seal.Plaintext, error) {
	if raw == nil {
		return seal.Plaintext{}, malformed("no access_token")
	}
	token, ok := text(raw)
	switch {
	case !ok || token == "":
		return seal.Plaintext{}, malformed("an access_token that is not text or is empty")
	case len(token) > maxAccessTokenBytes:
		return seal.Plaintext{}, malformed("an access_token of more than %d bytes", maxAccessTokenBytes)
	case strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }):
		return seal.Plaintext{}, malformed("an access_token with characters that no header may hold")
	default:
		return seal.NewPlaintext(token), nil
	}
}

// lifetime reads expires_in: a JSON number, or one in a string (contract A10),
// rounded down to whole seconds.
func lifetime(raw json.RawMessage) (time.Duration, error) {
	if raw == nil || string(raw) == "null" {
		return 0, noLifetime("has no expires_in")
	}
	number, quoted := text(raw)
	if !quoted {
		number = string(raw)
	}
	if len(number) > maxNumberBytes || !jsonNumber(number) {
		return 0, noLifetime("has an expires_in that is not a number")
	}
	seconds, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return 0, noLifetime("has an expires_in beyond all bounds")
	case seconds < 1:
		return 0, noLifetime("has an expires_in below one second")
	default:
		return secret.Lifetime(int64(min(seconds, secret.MaxLifetime.Seconds()))), nil
	}
}

// jsonNumber keeps out what strconv would take besides: hexadecimals,
// underscores, infinities and "not a number".
func jsonNumber(s string) bool {
	return strings.Trim(s, "-+.eE0123456789") == "" && json.Valid([]byte(s))
}

// tokenType returns the registered token type (IANA, OAuth Access Token Types)
// that raw names in whatever case, which is the one thing of a provider's text
// that may be shown.
func tokenType(raw json.RawMessage) string {
	name, _ := text(raw)
	for _, registered := range []string{"Bearer", "DPoP", "PoP", "N_A"} {
		if strings.EqualFold(name, registered) {
			return registered
		}
	}
	return ""
}

// text returns the string that raw is, and whether it is one.
func text(raw json.RawMessage) (string, bool) {
	var s string
	ok := len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
	return s, ok
}
