package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Codes of the server's errors that mean something to us.
const (
	codeWrongLastSequence  = 10071 // a compare-and-swap lost
	codeWrongLastSequence2 = 10164 // the same, said by a replicated stream
	codeStoreFailed        = 10077 // what a full stream says, among others
	codeIncompleteBatch    = 10176
	codeTooManyBatches     = 10210
)

// ErrUnavailable means that the server did not answer in time or is not connected. What
// was to be written may have been written or not.
var ErrUnavailable = errors.New("NATS is not available")

var errNoJetStream = errors.New("the server has no JetStream: start it with -js")

// translate turns the server's errors into those of package state and of this
// one. What it does not know stays as it is.
func translate(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return state.ErrNotFound
	case hasCode(err, codeWrongLastSequence), hasCode(err, codeWrongLastSequence2):
		return state.ErrConflict
	case unavailable(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

func unavailable(err error) bool {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		return e.Code == http.StatusServiceUnavailable
	}
	for _, passing := range []error{
		// A context of ours or of the caller's ran out while the server was asked.
		context.DeadlineExceeded,
		nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrDisconnected, nats.ErrConnectionClosed, nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting,
		nats.ErrSlowConsumer,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

func hasCode(err error, code int) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && int(e.ErrorCode) == code
}

// queued reports whether the JOBS stream refused a second job for a secret.
func queued(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && int(e.ErrorCode) == codeStoreFailed && strings.Contains(e.Description, "per subject")
}
