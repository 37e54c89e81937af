package reactor

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// The bounds of a request.
const (
	maxBody     = 256 << 10        // bytes
	maxHeader   = 32 << 10         // bytes
	maxServing  = 15 * time.Second // from the first byte of its header to its answer
	readTimeout = 10 * time.Second // for header and body to arrive
)

// NewServer returns a server for the handler that clients cannot hold up.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      maxServing + readTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// request is a request that was admitted.
type request struct {
	id     string // of the resource in the path
	caller api.Caller
	view   view
	http   *http.Request
	writer http.ResponseWriter
}

// view writes records as the resources a certain request is to see.
type view struct {
	base   base
	now    time.Time
	rights auth.Rights
	// libraryIn is which library an environment holds, "" for none, and publishedAt
	// when something was published last: what no record of their own says.
	libraryIn   func(environment string) string
	publishedAt func(id string) time.Time
	// replayOf is how far a callback is with what it is told again.
	replayOf func(*api.Callback) *webhook.Progress
}

// ServeHTTP answers a request. What the mux would refuse in plain text is
// refused in the shape of the API.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.cors(w, r) {
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		d.refuse(w, r, errNoRoute) // which the mux would redirect
		return
	}
	if refusal, pattern := d.mux.Handler(r); pattern == "" {
		d.refuse(w, r, unrouted(refusal, r))
		return
	}
	d.mux.ServeHTTP(w, r)
}

// unrouted asks the mux's own refusal why there is no route.
func unrouted(refusal http.Handler, r *http.Request) error {
	asked := &asked{header: make(http.Header)}
	refusal.ServeHTTP(asked, r)
	if asked.status == http.StatusMethodNotAllowed {
		return &methodError{allowed: asked.header.Get("Allow")}
	}
	return errNoRoute
}

// asked takes an answer that is not sent.
type asked struct {
	header http.Header
	status int
}

func (a *asked) Header() http.Header         { return a.header }
func (a *asked) Write(b []byte) (int, error) { return len(b), nil }
func (a *asked) WriteHeader(status int)      { a.status = status }

// handler returns the handler of a route. What is found within the time there is may be
// a stream, which has no end.
func (d *door) handler(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxServing)
		defer cancel()
		answer, err := d.answer(ctx, rt, w, r)
		switch {
		case err != nil:
			d.refuse(w, r, err)
		case answer.stream != nil:
			answer.stream(w)
		default:
			answer.send(w)
		}
	}
}

func (d *door) answer(ctx context.Context, rt route, w http.ResponseWriter, r *http.Request) (reply, error) {
	if !d.service.Ready() {
		return reply{}, api.ErrNotReady
	}
	who, err := d.admit(r.WithContext(ctx))
	if err != nil {
		return reply{}, err
	}
	if !who.Rights.Have(rt.right) {
		return reply{}, fmt.Errorf("%w: it takes %s", api.ErrNoRight, rt.right)
	}
	if err := negotiate(r, rt.media()); err != nil {
		return reply{}, err
	}
	purpose, err := purposeOf(r.Header)
	if err != nil {
		return reply{}, err
	}
	caller := d.callerOf(who, w, purpose)
	if caller.IfMatch, err = ifMatch(r.Header); err != nil {
		return reply{}, err
	}
	return rt.serve(ctx, &request{
		id:     r.PathValue("id"),
		caller: caller,
		view: view{
			base: d.base, now: d.now(), rights: who.Rights,
			libraryIn: d.service.LibraryIn, publishedAt: d.service.PublishedAt, replayOf: d.service.ReplayOf,
		},
		http:   r,
		writer: w,
	})
}

// admit returns whom a request is made for, unless there were too many: of a
// token's, or without a good one of its address's. What an address has used up
// holds up no token, for many may share it.
func (d *door) admit(r *http.Request) (auth.Principal, error) {
	who, err := d.gate.Admit(r)
	if err != nil {
		return auth.Principal{}, cmp.Or(d.limiter.Stranger(r), err)
	}
	return who, d.limiter.Token(who)
}

func (d *door) callerOf(who auth.Principal, w http.ResponseWriter, purpose string) api.Caller {
	return api.Caller{
		Request:   requestID(w),
		Purpose:   purpose,
		Org:       who.Org,
		Actor:     secret.Actor{Email: who.Email, DisplayName: who.DisplayName},
		Principal: who.Key,
		Rights:    who.Rights,
		Until:     who.Until,
		Callback:  d.base.to("oauth2", "callback"),
	}
}

// withBody reads the body and calls use with the resource in it, which must not
// be kept: it may hold plaintext, and is overwritten.
func (r *request) withBody(use func(data *api.Object) (reply, error)) (reply, error) {
	body, err := r.body()
	defer clear(body)
	if err != nil {
		return reply{}, err
	}
	data, err := api.ReadDocument(body)
	if err != nil {
		return reply{}, err
	}
	return use(data)
}

func (r *request) body() ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(r.writer, r.http.Body, maxBody))
	if err != nil {
		return body, bodyError(err)
	}
	return body, nil
}

// may refuses whoever has none of the rights.
func (r *request) may(rights ...auth.Right) error {
	if !slices.ContainsFunc(rights, r.caller.Rights.Have) {
		return api.ErrNoRight
	}
	return nil
}
