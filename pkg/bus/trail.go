package bus

import (
	"context"
	"log/slog"
	"strings"
	"time"

	mill "github.com/ThreeDotsLabs/watermill"
	watermill "github.com/ThreeDotsLabs/watermill/message"

	"github.com/rekindle-dev/rekindle/events"
)

// trailPause is how long a page waits that was refused, by the number of times it was
// handed over.
func trailPause(deliveries uint64) time.Duration {
	return min(time.Second<<min(deliveries, 6), 30*time.Second)
}

// Pages hands over the pages of the audit trail, as they are stored, to the processes of a
// group: each to one of them, one after the other in their order, until ctx ends; it then
// returns ctx's error. What handle returns an error for, or panics at, is handed over again
// before anything behind it, and so may be what it has dealt with. A group that is new
// begins at what is written from then on.
func (b *Bus) Pages(ctx context.Context, group string, handle func(ctx context.Context, page []byte) error) error {
	router, err := watermill.NewRouter(watermill.RouterConfig{}, routerLog{b.log, streamAudit})
	if err != nil {
		return err
	}
	pattern := events.AllAudit[strings.LastIndex(events.AllAudit, ".")+1:]
	router.AddConsumerHandler(group, pattern, b.Subscriber(Topics{
		Stream: streamAudit, Prefix: strings.TrimSuffix(events.AllAudit, pattern), Group: group, FromNow: true, Pause: trailPause,
	}), recovering(func(m *watermill.Message) error { return handle(m.Context(), m.Payload) }))
	if err := router.Run(ctx); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

// recovering makes an error of a panic.
func recovering(handle watermill.NoPublishHandlerFunc) watermill.NoPublishHandlerFunc {
	return func(m *watermill.Message) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = errPanic
			}
		}()
		return handle(m)
	}
}

// routerLog tells what a router has to say: that something will come again.
type routerLog struct {
	log    *slog.Logger
	stream string
}

// Error implements watermill.LoggerAdapter. What a handler fails with, it has told itself.
func (l routerLog) Error(msg string, err error, _ mill.LogFields) {
	l.log.Warn("a message will be handed over again", "stream", l.stream, "reason", msg, "error", err)
}

// Info implements watermill.LoggerAdapter.
func (routerLog) Info(string, mill.LogFields) {}

// Debug implements watermill.LoggerAdapter.
func (routerLog) Debug(string, mill.LogFields) {}

// Trace implements watermill.LoggerAdapter.
func (routerLog) Trace(string, mill.LogFields) {}

// With implements watermill.LoggerAdapter.
func (l routerLog) With(mill.LogFields) mill.LoggerAdapter { return l }
