package exchanger

import (
	"context"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// build makes the HTTP request. It is not made by http.NewRequest, whose errors
// quote the URL.
func (r TokenRequest) build(ctx context.Context) (*http.Request, error) {
	req, err := newHTTPRequest(http.MethodPost, r.URL)
	if err != nil {
		return nil, err
	}
	if r.Style == InHeader {
		req.Header["Authorization"] = []string{r.basic()}
	}
	if r.Format == provider.FormatQuery {
		req.URL.RawQuery = r.query(req.URL.RawQuery)
		return req.WithContext(ctx), nil
	}
	req.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	if r.Format == provider.FormatJSON {
		req.Header["Content-Type"] = []string{"application/json"}
	}
	body := newForm(r)
	req.Body, req.ContentLength = body, int64(len(body.rest))
	// Asked for only when nothing of the request was written; see Client.
	req.GetBody = func() (io.ReadCloser, error) { return newForm(r), nil }
	return req.WithContext(ctx), nil
}

func newHTTPRequest(method, to string) (*http.Request, error) {
	endpoint, err := url.Parse(to)
	if err != nil || endpoint.Hostname() == "" || endpoint.User != nil ||
		endpoint.Scheme != "https" && endpoint.Scheme != "http" {
		return nil, badTokenURL()
	}
	return &http.Request{
		Method: method,
		URL:    endpoint,
		Host:   endpoint.Host,
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {userAgent}},
	}, nil
}

// query is the query of the URL and the parameters behind it, in a text that
// cannot be overwritten.
func (r TokenRequest) query(own string) string {
	form := r.form()
	defer clear(form)
	if own == "" {
		return string(form)
	}
	return own + "&" + string(form)
}

// parameters are what is sent, in the order of contract A10 and the options by
// name.
func (r TokenRequest) parameters() []Field {
	grant, ok := r.Options["grant_type"]
	if !ok {
		grant = r.Grant
	}
	all := []Field{{"grant_type", seal.NewPlaintext(grant)}}
	if r.Style == InParams {
		all = append(all, Field{"client_id", seal.NewPlaintext(r.ClientID)}, Field{"client_secret", r.ClientSecret})
	}
	if r.Style == Identified {
		all = append(all, Field{"client_id", seal.NewPlaintext(r.ClientID)})
	}
	all = append(all, r.Fields...)
	for i, f := range all {
		if name, renamed := r.Rename[f.Name]; renamed {
			all[i].Name = name
		}
	}
	all = slices.DeleteFunc(all, func(f Field) bool { return f.Name == "" })
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		switch name {
		case "grant_type", "client_id", "client_secret":
		default:
			all = append(all, Field{name, seal.NewPlaintext(r.Options[name])})
		}
	}
	return all
}

// form encodes the parameters.
func (r TokenRequest) form() []byte {
	add := appendField[[]byte]
	if r.Format == provider.FormatJSON {
		add = appendMember
	}
	all := r.parameters()
	form := make([]byte, 0, r.room(all))
	for _, f := range all {
		value := f.Value.Reveal()
		form = add(form, f.Name, value)
		clear(value)
	}
	if r.Format == provider.FormatJSON {
		form = append(form, '}')
	}
	return form
}

// room is the most that the parameters can need: a form that had to grow would
// leave copies of secrets behind.
func (r TokenRequest) room(all []Field) int {
	escaped, around := len("%00"), len("&=")
	if r.Format == provider.FormatJSON {
		escaped, around = len(`\u0000`), len(`,"":""`)
	}
	size := len("{}")
	for _, f := range all {
		size += around + escaped*(len(f.Name)+f.Value.Len())
	}
	return size
}

func appendField[T string | []byte](form []byte, name string, value T) []byte {
	if len(form) > 0 {
		form = append(form, '&')
	}
	return appendEscaped(append(appendEscaped(form, name), '='), value)
}

func appendMember(object []byte, name string, value []byte) []byte {
	before := byte(',')
	if len(object) == 0 {
		before = '{'
	}
	return appendQuoted(append(appendQuoted(append(object, before), name), ':'), value)
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

const upperHex = "0123456789ABCDEF"

// appendEscaped is url.QueryEscape for bytes that are to be overwritten later,
// which strings cannot be.
func appendEscaped[T string | []byte](to []byte, value T) []byte {
	for i := range len(value) {
		switch b := value[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9',
			b == '-', b == '_', b == '.', b == '~':
			to = append(to, b)
		case b == ' ':
			to = append(to, '+')
		default:
			to = append(to, '%', upperHex[b>>4], upperHex[b&15])
		}
	}
	return to
}

// appendQuoted writes a JSON string (RFC 8259 section 7), for the same reason.
// Bytes beyond ASCII stay as they are.
func appendQuoted[T string | []byte](to []byte, value T) []byte {
	to = append(to, '"')
	for i := range len(value) {
		switch b := value[i]; {
		case b == '"', b == '\\':
			to = append(to, '\\', b)
		case b < ' ':
			to = append(to, '\\', 'u', '0', '0', upperHex[b>>4], upperHex[b&15])
		default:
			to = append(to, b)
		}
	}
	return append(to, '"')
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
