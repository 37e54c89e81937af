package exchanger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/provider"
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
	// Identified sends client_id alone: an assertion among the fields, or the
	// certificate of the connection, proves who it is (RFC 7521 section 4.2, RFC
	// 8705 section 2).
	Identified
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

	// Format is how all this is written; empty is a form (contract A10).
	Format provider.Format
	// Rename has the parameters of RFC 6749 that go by other names, empty for
	// those that are not sent.
	Rename map[string]string

	// Late, unless nil, is asked when there is a connection, right before the request
	// is written. If it says so, nothing is sent, and the error is errLate.
	Late func() bool
}

// errLate never leaves this package: the time is over in which a request may be
// sent, and it was not.
var errLate = errors.New("too late to send the request")

// Field is a field of the form whose value nobody else may see.
type Field struct {
	Name  string
	Value seal.Plaintext
}

const grantClientCredentials = "client_credentials" // RFC 6749 section 4.4

// Exchange sends one token request and reads its answer. The plaintext of the
// request is overwritten when net/http is done with it, apart from the copies
// in its own buffers; r.ClientSecret stays the caller's to wipe, and the
// answer's access token becomes so.
//
// The error is an [*ExchangeError], or, when ctx ended before the outcome was
// known, ctx's error: interrupted, which is no verdict on the provider.
func (c *Client) Exchange(ctx context.Context, r TokenRequest) (Answer, error) {
	body, answer, err := c.Probe(ctx, r)
	body.Wipe()
	return answer, err
}

// Probe is Exchange for whoever wants to see what the provider said: it also
// returns the body of a success as it came, the caller's to wipe.
func (c *Client) Probe(ctx context.Context, r TokenRequest) (body seal.Plaintext, answer Answer, err error) {
	got, err := c.send(ctx, r.build, r.Late)
	if err != nil {
		return seal.Plaintext{}, Answer{}, err
	}
	defer clear(got.body)
	if got.status != http.StatusOK {
		return seal.Plaintext{}, Answer{}, r.described(refused(got.status, got.header, got.body), got)
	}
	answer, err = decodeAnswer(got.body)
	if err != nil {
		if e, ok := errors.AsType[*ExchangeError](err); ok {
			e.RetryAfter = retryAfter(got.header)
		}
		return seal.Plaintext{}, Answer{}, r.described(err, got)
	}
	return seal.NewPlaintext(got.body), answer, nil
}

// Answer is what a token endpoint gave.
type Answer struct {
	AccessToken seal.Plaintext
	// Lifetime is whole seconds, at least one (secret.Lifetime).
	Lifetime time.Duration
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
	return Answer{AccessToken: token, Lifetime: ends}, nil
}

// members are the members of a token endpoint's answer that are read, as raw
// JSON, parts of the body: nil when absent.
type members struct{ accessToken, expiresIn, failure json.RawMessage }

// readMembers reads a JSON object with nothing behind it. Names count letter by
// letter. A member that is read must not be there twice (RFC 6749 section 3.2):
// of two access tokens nobody could say which one is meant.
func readMembers(body []byte) (members, error) {
	var m members
	if !json.Valid(body) {
		return m, notJSON(body)
	}
	rest, object := bytes.CutPrefix(unspaced(body), []byte("{"))
	if !object {
		return m, malformed("a JSON value that is not an object")
	}
	for rest = unspaced(rest); rest[0] != '}'; rest = unspaced(rest) {
		var name, value []byte
		name, rest = cutValue(rest)
		value, rest = cutValue(unspaced(unspaced(rest)[1:])) // behind the colon
		if rest = unspaced(rest); rest[0] == ',' {
			rest = rest[1:]
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

// unspaced is JSON without the white space before it (RFC 8259 section 2).
func unspaced(rest []byte) []byte { return bytes.TrimLeft(rest, " \t\r\n") }

// cutValue cuts off the value that valid JSON begins with.
func cutValue(rest []byte) (value, behind []byte) {
	depth, quoted := 0, false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case quoted && c == '\\':
			i++ // whatever comes next ends nothing
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
		if ended := i + 1; depth == 0 && !quoted && (ended == len(rest) || bytes.IndexByte([]byte(" \t\r\n:,]}"), rest[ended]) >= 0) {
			return rest[:ended], rest[ended:]
		}
	}
	return rest, nil
}

func (m *members) named(raw []byte) *json.RawMessage {
	name, _ := text(raw)
	switch name {
	case "access_token":
		return &m.accessToken
	case "expires_in":
		return &m.expiresIn
	case "error":
		return &m.failure
	default:
		return nil
	}
}

// hasError reports whether the answer says that it is an error. Some providers
// send the member with every answer and leave it empty, or zero.
func (m *members) hasError() bool {
	if m.failure == nil {
		return false
	}
	switch string(bytes.Join(bytes.Fields(m.failure), nil)) {
	case "", "null", `""`, "false", "0", `"0"`, "[]", "{}":
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

// text returns the string that raw is, and whether it is one.
func text(raw json.RawMessage) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inside := raw[1 : len(raw)-1]; plainText(inside) {
		return string(inside), true
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// plainText reports whether what is between the quotes of a JSON string is the text
// that it stands for.
func plainText(inside []byte) bool {
	return !bytes.ContainsFunc(inside, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' || r == '"' })
}
