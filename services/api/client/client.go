// Package client is a Go client of Rekindle's HTTP API, for the command line
// and the tests. It speaks the wire and nothing else: it imports no other
// package of Rekindle, so what it cannot say the API cannot be asked.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	mediaType = "application/vnd.api+json"
	accept    = mediaType + ";revision=1"
	// maxAnswer bounds an answer: a page of 999 secrets with every field at
	// its limit stays below it.
	maxAnswer = 64 << 20
	// maxIdle is how many connections are kept for the next request: as many as an
	// import may have at work.
	maxIdle = 256
	// connectIn is how long a connection may take to be there.
	connectIn = 30 * time.Second
)

// Client asks one server. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	org   string
	http  *http.Client
}

// New returns a client of the server at the base URL that shows the bearer
// token. An answer that takes longer than a minute is given up.
func New(base, token string) *Client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectIn}).DialContext, TLSHandshakeTimeout: connectIn,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: 90 * time.Second,
	}
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: time.Minute, Transport: transport}}
}

// In is the client for one of the organisations that its token belongs to; "" is
// the token's first.
func (c *Client) In(org string) *Client {
	within := *c
	within.org = org
	return &within
}

// Error is an answer that is not a success.
type Error struct {
	Status int // of HTTP
	Errors []Problem
	// RetryAfter is for how long the server asks to wait, 0 when it does not.
	RetryAfter time.Duration
}

// ForeignError is an answer that no Rekindle server gives.
type ForeignError struct {
	Base   string // URL of the server
	Status int    // of HTTP
}

// Error does not quote the answer.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s does not look like a Rekindle server: it answered %d %s", e.Base, e.Status, http.StatusText(e.Status))
}

// Away reports whether a status says that there is no server just now. A proxy in
// front of it says so in its own words.
func Away(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// Problem is one of the errors of an answer (contract A5).
type Problem struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Source struct {
		Pointer string `json:"pointer"`
	} `json:"source"`
	Meta struct {
		RequestID string `json:"request_id"`
		// RetryAt is until when a provider asked to be left alone.
		RetryAt *time.Time `json:"retry_at"`
	} `json:"meta"`
}

// Error gives every problem, with the member it is about.
func (e *Error) Error() string {
	if len(e.Errors) == 0 {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	texts := make([]string, len(e.Errors))
	for i, p := range e.Errors {
		texts[i] = p.Detail
		if texts[i] == "" {
			texts[i] = p.Title
		}
		if p.Source.Pointer != "" {
			texts[i] += " (" + p.Source.Pointer + ")"
		}
	}
	return strings.Join(texts, "; ")
}

// document is a JSON:API document, with one resource or many as they were
// written.
type document[T any] struct {
	Data T `json:"data"`
	Meta struct {
		Pagination Pagination `json:"pagination"`
	} `json:"meta,omitzero"`
}

// Pagination is where a page stands in its list (contract A4).
type Pagination struct {
	CurrentPage int  `json:"current_page"`
	NextPage    *int `json:"next_page"`
	TotalPages  int  `json:"total_pages"`
	TotalCount  int  `json:"total_count"`
}

// do sends one request and decodes the answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	c.sign(req)
	if in != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch {
	case resp.StatusCode >= http.StatusMultipleChoices:
		return c.problem(resp, answer)
	case out == nil && resp.StatusCode == http.StatusNoContent:
		return nil
	case out == nil || !isAPI(resp) || json.Unmarshal(answer, out) != nil:
		return &ForeignError{c.base, resp.StatusCode}
	default:
		return nil
	}
}

// sign says on whose behalf a request is made.
func (c *Client) sign(req *http.Request) {
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("X-Api-Key", "rekindle")
	if c.org != "" {
		req.Header.Set("X-Gw-Ims-Org-Id", c.org)
	}
}

// problem is the error for an answer that is not a success.
func (c *Client) problem(resp *http.Response, answer []byte) error {
	var doc struct {
		Errors []Problem `json:"errors"`
	}
	switch {
	case isAPI(resp) && json.Unmarshal(answer, &doc) == nil && len(doc.Errors) > 0:
		return &Error{resp.StatusCode, doc.Errors, retryAfter(resp)}
	case Away(resp.StatusCode):
		return &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp)}
	default:
		return &ForeignError{c.base, resp.StatusCode}
	}
}

// maxRetryAfter bounds for how long a server may ask to wait.
const maxRetryAfter = time.Minute

// retryAfter reads for how long to wait (RFC 9110 section 10.2.3). The API says it in
// seconds.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// isAPI reports whether an answer is of the API's media type (contract A1).
func isAPI(resp *http.Response) bool {
	sent, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && sent == mediaType
}

// resource is a pointer to a T that remembers how the server wrote it.
type resource[T any] interface {
	*T
	keep(json.RawMessage)
}

// list asks for all pages of a list that a filter selects.
func list[T any, P resource[T]](ctx context.Context, c *Client, path string, filter Filter) ([]T, error) {
	var all []T
	query := filter.query()
	query.Set("page[size]", "999")
	for page := 1; ; {
		query.Set("page[number]", strconv.Itoa(page))
		var doc document[[]json.RawMessage]
		if err := c.do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &doc); err != nil {
			return nil, err
		}
		for _, raw := range doc.Data {
			one, err := decode[T, P](raw)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		if doc.Meta.Pagination.NextPage == nil {
			return all, nil
		}
		page = *doc.Meta.Pagination.NextPage
	}
}

func get[T any, P resource[T]](ctx context.Context, c *Client, path string) (T, error) {
	return ask[T, P](ctx, c, http.MethodGet, path, nil)
}

func create[T any, P resource[T]](ctx context.Context, c *Client, path string, data any) (T, error) {
	return ask[T, P](ctx, c, http.MethodPost, path, document[any]{Data: data})
}

// ask makes a request that is answered with one resource.
func ask[T any, P resource[T]](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var doc document[json.RawMessage]
	if err := c.do(ctx, method, path, in, &doc); err != nil {
		var none T
		return none, err
	}
	return decode[T, P](doc.Data)
}

// decode does not quote what it cannot read.
func decode[T any, P resource[T]](raw json.RawMessage) (one T, err error) {
	if json.Unmarshal(raw, &one) != nil {
		return one, errors.New("the server's answer is of a form that is not known here: it may be of another version")
	}
	P(&one).keep(raw)
	return one, nil
}
