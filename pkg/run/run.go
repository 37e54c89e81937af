// Package run keeps an ordered list of tasks running and stops it in reverse.
//
// A task may count on those before it in the list: it starts after the one
// before it has called ready, and it has returned before the one before it is
// asked to stop. So a server embedded as the first task outlives the last
// acknowledgement of a worker that is the last, which neither one shared
// context nor an errgroup can promise.
//
// Every task has contexts of its own, two of them:
//
//	running ──(a task ended, or the caller's context)──► soft stop ──(Options.SoftStop)──► hard stop
//	          the task's ctx is cancelled:                            Hard(ctx) is cancelled:
//	          take nothing new, finish what is held, return           abandon what is held, return
//
// A task that knows no such difference uses its ctx for everything and is
// interrupted at the soft stop.
//
// The first task that ends stops all others. Interruption is not failure: a
// task that returns nil or [context.Canceled] when asked to stop has done well.
// What a task returns without having been asked is an error, nil included.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// DefaultSoftStop leaves half of the 30 s an orchestrator commonly grants
// between SIGTERM and SIGKILL.
const DefaultSoftStop = 15 * time.Second

// Task is one long-lived part of a process.
type Task struct {
	Name string

	// Run works until ctx is cancelled, and calls ready once the tasks after
	// it may start; calling it again does nothing. It must return when Hard(ctx)
	// is cancelled: All waits for it without limit.
	Run func(ctx context.Context, ready func()) error
}

// Options of All; the zero value is good.
type Options struct {
	SoftStop time.Duration // from the first request to stop until the hard stop, for all tasks together; 0 means DefaultSoftStop
	Logger   *slog.Logger  // nil means silence
}

// All runs the tasks until ctx is cancelled or one of them ends, stops them,
// and returns after the last has returned. The error joins what went wrong,
// each with its task's name, in the order in which it did; it is nil after an
// orderly stop, also when ctx was cancelled before all tasks were ready.
// A panic in a task is an error that carries the stack.
func All(ctx context.Context, o Options, tasks ...Task) error {
	if o.SoftStop <= 0 {
		o.SoftStop = DefaultSoftStop
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	g := &group{end: end}

	var started []*running
	for _, t := range tasks {
		if ctx.Err() != nil {
			break
		}
		r := g.start(ctx, t)
		started = append(started, r)
		select {
		case <-r.ready:
			o.Logger.InfoContext(ctx, "task is ready", "task", t.Name)
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	o.Logger.InfoContext(ctx, "stopping", "reason", context.Cause(ctx).Error())

	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.SoftStop)
	defer cancel()
	for _, r := range slices.Backward(started) {
		r.stop(grace, o.Logger)
	}
	return errors.Join(g.errs...)
}

// Hard returns the context for work that a soft stop lets finish: it outlives
// ctx, the context of a task or one derived from it, until the hard stop. A
// context from elsewhere is returned as it is.
func Hard(ctx context.Context) context.Context {
	if hard, ok := ctx.Value(hardKey{}).(context.Context); ok {
		return hard
	}
	return ctx
}

type hardKey struct{}

// group is what the tasks of one call share.
type group struct {
	end context.CancelCauseFunc // begins the stop

	mu   sync.Mutex
	errs []error
}

// running is a started task.
type running struct {
	name        string
	ready, done chan struct{}
	soft, hard  context.CancelFunc
}

func (g *group) start(ctx context.Context, t Task) *running {
	// Not children of ctx: only stop, in its order, may cancel them.
	hard, cancelHard := context.WithCancel(context.WithoutCancel(ctx))
	soft, cancelSoft := context.WithCancel(context.WithValue(hard, hardKey{}, hard))
	r := &running{t.Name, make(chan struct{}), make(chan struct{}), cancelSoft, cancelHard}
	ready := sync.OnceFunc(func() { close(r.ready) })

	go func() {
		defer close(r.done)
		defer cancelHard()                          // nothing of a task outlives it
		err := errors.New("left by runtime.Goexit") // stands only if call does not return
		defer func() { g.ended(t.Name, verdict(ctx, soft, err)) }()
		err = call(soft, t, ready)
	}()
	return r
}

// ended records a task's error and begins the stop, unless it has begun.
func (g *group) ended(name string, err error) {
	if err != nil {
		err = fmt.Errorf("task %s: %w", name, err)
		g.mu.Lock()
		g.errs = append(g.errs, err)
		g.mu.Unlock()
	}
	g.end(err)
}

// stop asks the task to stop, insists when grace is over, and waits for it.
func (r *running) stop(grace context.Context, log *slog.Logger) {
	select {
	case <-r.done: // by itself, or with its error recorded
		return
	default:
	}
	began := time.Now()
	r.soft()
	select {
	case <-r.done:
	case <-grace.Done():
		log.WarnContext(grace, "time for the soft stop is over, cancelling what is held", "task", r.name)
		r.hard()
		<-r.done
	}
	log.InfoContext(grace, "task has stopped", "task", r.name, "took", time.Since(began))
}

// verdict decides whether a task's end is a failure: all is the context of the
// whole group, soft that of the task.
func verdict(all, soft context.Context, err error) error {
	switch {
	case err == nil && all.Err() == nil:
		return errors.New("ended while it should run")
	case soft.Err() != nil && interrupted(err):
		return nil
	}
	return err
}

// interrupted reports whether err says nothing but "cancelled". errors.Is would
// let a joined cancellation hide the error beside it.
func interrupted(err error) bool {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		return interrupted(e.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !interrupted(err) })
	}
	return err == context.Canceled //nolint:errorlint // a leaf
}

func call(ctx context.Context, t Task, ready func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %s\n%s", describe(v), debug.Stack())
		}
	}()
	return t.Run(ctx, ready)
}

// describe names a panic's value without printing data of an unknown type,
// which might be secret.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case error:
		return v.Error()
	}
	return fmt.Sprintf("%T", v)
}
