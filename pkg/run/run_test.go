package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary records what happened, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, d.lines); diff != "" {
		t.Errorf("order of events (-want +got):\n%s", diff)
	}
}

// good is ready at once and takes the given time to stop softly.
func (d *diary) good(name string, toStop time.Duration) Task {
	return Task{name, func(ctx context.Context, ready func()) error {
		d.add("%s starts", name)
		ready()
		<-ctx.Done()
		d.add("%s drains", name)
		select {
		case <-time.After(toStop):
			d.add("%s done", name)
			return nil
		case <-Hard(ctx).Done():
			d.add("%s cut", name)
			return Hard(ctx).Err()
		}
	}}
}

func failing(name string, err error) Task {
	return Task{name, func(context.Context, func()) error { return err }}
}

// after is a task that is ready, and ends with err after d.
func after(name string, d time.Duration, err error) Task {
	return Task{name, func(ctx context.Context, ready func()) error {
		ready()
		select {
		case <-time.After(d):
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		slow := Task{"slow", func(ctx context.Context, ready func()) error {
			d.add("slow starts")
			time.Sleep(time.Minute) // the next must wait for this
			d.add("slow is ready")
			ready()
			ready() // and once more is harmless
			<-ctx.Done()
			d.add("slow done")
			return ctx.Err()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		err := All(ctx, Options{}, slow, d.good("b", time.Second), d.good("c", time.Second))
		if err != nil {
			t.Error(err)
		}
		d.want(t, "slow starts", "slow is ready", "b starts", "c starts",
			"c drains", "c done", "b drains", "b done", "slow done")
	})
}

func TestSoftStopHasOneBudgetForAllTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := time.Now().Add(time.Hour)
		time.AfterFunc(time.Hour, cancel)
		err := All(ctx, Options{SoftStop: 10 * time.Second},
			d.good("server", time.Second), d.good("hangs", time.Hour), d.good("quick", 4*time.Second))
		if err != nil {
			t.Errorf("interruption is a failure: %v", err)
		}
		if got := time.Since(cancelled); got != 10*time.Second {
			t.Errorf("stopping took %v", got)
		}
		// The server was still there while the one that hung was cut.
		d.want(t, "server starts", "hangs starts", "quick starts",
			"quick drains", "quick done", "hangs drains", "hangs cut", "server drains", "server cut")
	})
}

func TestNothingStartsWhenAlreadyCancelled(t *testing.T) {
	var d diary
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := All(ctx, Options{}, d.good("a", 0)); err != nil {
		t.Error(err)
	}
	d.want(t)
}

func TestHardStopByDefaultAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := time.Now().Add(time.Second)
		time.AfterFunc(time.Second, cancel)
		if err := All(ctx, Options{}, d.good("a", time.Hour)); err != nil {
			t.Error(err)
		}
		if got := time.Since(cancelled); got != DefaultSoftStop {
			t.Errorf("stopping took %v", got)
		}
	})
}

func TestFailures(t *testing.T) {
	boom, bang := errors.New("boom"), errors.New("bang")
	lateFailure := func(err error) Task {
		return Task{"late", func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			return err
		}}
	}
	tests := []struct {
		name  string
		tasks []Task
		want  string // the error's text; for a panic its beginning
		is    error
	}{
		{"before ready", []Task{after("a", time.Hour, nil), failing("b", boom), failing("never", bang)}, "task b: boom", boom},
		{"while running", []Task{after("a", time.Hour, nil), after("b", time.Second, boom)}, "task b: boom", boom},
		{"of the first task", []Task{after("a", time.Second, boom), after("b", time.Hour, nil)}, "task a: boom", boom},
		{"nil before ready", []Task{failing("a", nil)}, "task a: ended while it should run", nil},
		{"nil while running", []Task{after("a", time.Second, nil)}, "task a: ended while it should run", nil},
		{"cancelled, but not by us", []Task{after("a", time.Second, context.Canceled)}, "task a: context canceled", context.Canceled},
		{"cause first, then what followed", []Task{lateFailure(bang), after("b", time.Second, boom)}, "task b: boom\ntask late: bang", bang},
		{
			"cancelled and something else",
			[]Task{lateFailure(errors.Join(context.Canceled, bang)), after("b", time.Second, boom)},
			"task b: boom\ntask late: context canceled\nbang", bang,
		},
		{
			"only cancelled, wrapped twice",
			[]Task{lateFailure(fmt.Errorf("x: %w", errors.Join(context.Canceled, context.Canceled))), after("b", time.Second, boom)},
			"task b: boom", boom,
		},
		{"goexit", []Task{{"a", func(context.Context, func()) error { runtime.Goexit(); return nil }}}, "task a: left by runtime.Goexit", nil},
		{"panic with a string", []Task{{"a", func(context.Context, func()) error { panic("oh no") }}}, "task a: panic: oh no\ngoroutine ", nil},
		{"panic with an error", []Task{{"a", func(context.Context, func()) error { panic(boom) }}}, "task a: panic: boom\ngoroutine ", nil},
		{
			"panic with anything else",
			[]Task{{"a", func(context.Context, func()) error { panic(struct{ s string }{"s3cret"}) }}},
			"task a: panic: struct { s string }\ngoroutine ", nil,
		},
		{
			"panic while stopping",
			[]Task{{"a", func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); panic("late") }}, failing("b", boom)},
			"task b: boom\ntask a: panic: late\ngoroutine ", boom,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := All(t.Context(), Options{}, tt.tasks...)
				if err == nil {
					t.Fatal("no error")
				}
				got, stack, panicked := strings.Cut(err.Error(), "goroutine ")
				if panicked {
					got += "goroutine "
					if !strings.Contains(stack, "run_test.go") {
						t.Errorf("no stack in %v", err)
					}
				}
				if got != tt.want {
					t.Errorf("got %q\nwant %q", got, tt.want)
				}
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("%v is not %v", err, tt.is)
				}
			})
		})
	}
}

func TestFailureStopsTheOthersInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		err := All(t.Context(), Options{},
			d.good("a", time.Second), after("breaks", time.Minute, errors.New("boom")), d.good("c", time.Second))
		if err == nil || err.Error() != "task breaks: boom" {
			t.Error(err)
		}
		d.want(t, "a starts", "c starts", "c drains", "c done", "a drains", "a done")
	})
}

func TestEndsWhileStoppingAreOrderly(t *testing.T) {
	// A task that notices by itself that the group stops, before its turn, has
	// not failed; a task that breaks before its turn has.
	synctest.Test(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := All(ctx, Options{},
			after("broken", 2*time.Second, errors.New("boom")),
			after("early", 2*time.Second, nil),
			d.good("last", 5*time.Second))
		if err == nil || err.Error() != "task broken: boom" {
			t.Error(err)
		}
	})
}

func TestNeverReadyTaskIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		never := Task{"never", func(ctx context.Context, _ func()) error {
			d.add("never starts")
			<-ctx.Done()
			d.add("never done")
			return ctx.Err()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := All(ctx, Options{}, d.good("a", 0), never, d.good("c", 0)); err != nil {
			t.Error(err)
		}
		d.want(t, "a starts", "never starts", "never done", "a drains", "a done")
	})
}

func TestFirstTaskEndsWhileTheSecondGetsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := Task{"never", func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }}
		err := All(t.Context(), Options{}, after("a", time.Second, errors.New("boom")), never)
		if err == nil || err.Error() != "task a: boom" {
			t.Error(err)
		}
	})
}

func TestContexts(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), time.Second)
		defer cancel()
		var hard context.Context
		err := All(ctx, Options{}, Task{"a", func(soft context.Context, ready func()) error {
			ready()
			hard = Hard(soft)
			if soft.Value(key{}) != "v" || hard.Value(key{}) != "v" {
				t.Error("values of the parent are lost")
			}
			if _, ok := soft.Deadline(); ok {
				t.Error("the parent's deadline has come through")
			}
			child, stop := context.WithCancel(soft)
			stop()
			if Hard(child).Err() != nil {
				t.Error("hard context of a child is not the task's")
			}
			<-soft.Done()
			if hard.Err() != nil {
				t.Error("soft stop cancelled the hard context")
			}
			return nil
		}})
		if err != nil {
			t.Error(err)
		}
		if hard.Err() == nil {
			t.Error("the hard context outlives its task")
		}
	})
	if ctx := t.Context(); Hard(ctx) != ctx {
		t.Error("a foreign context is not returned as it is")
	}
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var b strings.Builder
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(os.ErrDeadlineExceeded) })
		if err := All(ctx, Options{SoftStop: time.Second, Logger: log}, d.good("a", time.Hour)); err != nil {
			t.Error(err)
		}
		want := `level=INFO msg="task is ready" task=a
level=INFO msg=stopping reason="i/o timeout"
level=WARN msg="time for the soft stop is over, cancelling what is held" task=a
level=INFO msg="task has stopped" task=a took=1s
`
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNoTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := All(ctx, Options{}); err != nil {
			t.Error(err)
		}
	})
}
