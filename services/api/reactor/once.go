package reactor

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/rekindle-dev/rekindle/services/api"
)

// A request that changes a secret may have a key, so that it can be sent again when its
// answer was lost: additions to the contract. Elsewhere the header says nothing.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
	maxKey         = 256 // bytes
)

var (
	errKey = errors.New("the header Idempotency-Key must be 1 to 256 printable characters of ASCII, and stand there once")
	// errGoneSince is the answer to a request that was carried out, on what is no more.
	errGoneSince = errors.New("this request was carried out before, and the secret has been deleted since")
)

// once has do carry out the request: if it has a key, not more than once.
func (d *door) once(ctx context.Context, r *request, data *api.Object, do func(api.Caller) (*api.Changed, error)) (*api.Changed, error) {
	key, err := keyOf(r.http.Header)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return do(r.caller)
	}
	changed, err := d.service.Once(ctx, r.caller, api.Request{Key: key, Method: r.http.Method, Path: r.http.URL.Path, Data: data}, do)
	if err != nil || changed == nil || !changed.Repeated {
		return changed, err
	}
	r.writer.Header().Set(headerReplayed, "true")
	if changed.Secret == nil && r.http.Method != http.MethodDelete {
		return nil, errGoneSince
	}
	return changed, nil
}

// keyOf returns the key of a request, "" for one without.
func keyOf(h http.Header) (string, error) {
	sent := h.Values(headerKey)
	if len(sent) == 0 {
		return "", nil
	}
	odd := func(c rune) bool { return c < ' ' || c > '~' }
	if key := sent[0]; len(sent) == 1 && key != "" && len(key) <= maxKey && !strings.ContainsFunc(key, odd) {
		return key, nil
	}
	return "", errKey
}
