package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

func TestReader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", transfer.MaxRow)
	text := "one\r\n\n  \n" + long + "\n" + long + "x\n" + strings.Repeat(long, 3) + "\nlast"
	want := []string{"1 one", "4 " + long, "5", "6", "7 last"}
	for skip := range 8 {
		r := transfer.NewReader(strings.NewReader(text), skip)
		var got []string
		for {
			line, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			one := fmt.Sprint(line.Number)
			if line.Text != nil {
				one += " " + string(line.Text)
			}
			if got = append(got, one); !strings.HasPrefix(text[line.End:], "\n") && line.End < int64(len(text)) && text[line.End-1] != '\n' {
				t.Errorf("line %d ends at %d", line.Number, line.End)
			}
		}
		left := want[:]
		for len(left) > 0 && left[0][0] <= byte('0'+skip) {
			left = left[1:]
		}
		if fmt.Sprint(got) != fmt.Sprint(left) {
			t.Errorf("behind %d lines there are %d, want %d", skip, len(got), len(left))
		}
	}
}

// numbered returns n lines.
func numbered(n int) func() (transfer.Line, error) {
	at := 0
	return func() (transfer.Line, error) {
		if at++; at > n {
			return transfer.Line{}, io.EOF
		}
		return transfer.Line{Number: at}, nil
	}
}

// TestPipeline: lines are told of in their order, however long each takes, and no
// more are at work or waiting than is allowed.
func TestPipeline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, lines = 4, 200
		var running, most atomic.Int64
		told, begun := 0, atomic.Int64{}
		p := transfer.Pipeline{
			Next: numbered(lines), Workers: workers,
			Do: func(_ context.Context, l transfer.Line) (transfer.Result, error) {
				begun.Add(1)
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				time.Sleep(time.Duration(l.Number*7%11) * time.Second) // of the bubble's clock
				return transfer.Result{Line: l.Number}, nil
			},
			Done: func(l transfer.Line, r transfer.Result) error {
				if told++; l.Number != told || r.Line != told {
					t.Errorf("told of line %d, result %d, as number %d", l.Number, r.Line, told)
				}
				if ahead := begun.Load() - int64(told); ahead > 3*workers {
					t.Errorf("%d lines ahead", ahead)
				}
				return nil
			},
		}
		if err := p.Run(t.Context()); err != nil || told != lines || most.Load() != workers {
			t.Errorf("told of %d, %d at a time: %v", told, most.Load(), err)
		}
	})
}

// TestPipelineStops at the first line that ends it, having told of all before.
func TestPipelineStops(t *testing.T) {
	t.Parallel()
	fatal := errors.New("no server")
	for name, p := range map[string]transfer.Pipeline{
		"by a line": {Next: numbered(1000), Do: func(_ context.Context, l transfer.Line) (transfer.Result, error) {
			if l.Number == 50 {
				return transfer.Result{}, fatal
			}
			return transfer.Result{}, nil
		}},
		"by the stream": {Next: func() func() (transfer.Line, error) {
			next := numbered(49)
			return func() (transfer.Line, error) {
				l, err := next()
				if errors.Is(err, io.EOF) {
					err = fatal
				}
				return l, err
			}
		}()},
		"by whoever is told": {Next: numbered(1000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := 0
			p.Workers = 8
			if p.Do == nil {
				p.Do = func(context.Context, transfer.Line) (transfer.Result, error) { return transfer.Result{}, nil }
			}
			p.Done = func(l transfer.Line, _ transfer.Result) error {
				if name == "by whoever is told" && l.Number == 50 {
					return fatal
				}
				told++
				return nil
			}
			if err := p.Run(t.Context()); !errors.Is(err, fatal) || told != 49 {
				t.Errorf("told of %d: %v", told, err)
			}
		})
	}
}

// TestPipelineIsInterrupted: nobody waits for ever.
func TestPipelineIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var once sync.Once
	p := transfer.Pipeline{
		Next: numbered(1000), Workers: 3,
		Do: func(ctx context.Context, _ transfer.Line) (transfer.Result, error) {
			once.Do(stop)
			<-ctx.Done()
			return transfer.Result{}, ctx.Err()
		},
		Done: func(transfer.Line, transfer.Result) error { return nil },
	}
	if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestJournal: an import of the same origin goes on where the journal ends, another
// begins at the start, and a line that was cut off is no harm.
func TestJournal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rows.journal")
	origin := transfer.Origin{Mode: "create", Target: "http://a", Size: 7, Modified: time.Now()}
	open := func(of transfer.Origin, want int) *transfer.Journal {
		t.Helper()
		j, line, err := transfer.OpenJournal(path, of)
		if err != nil || line != want {
			t.Fatalf("goes on behind line %d, want %d: %v", line, want, err)
		}
		return j
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	j := open(origin, 0)
	for line := range 101 {
		check(j.Mark(line))
	}
	j = open(origin, 96) // the process was killed
	check(j.Stop(98))
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	check(err)
	_, err = file.WriteString(`{"line":1`)
	check(errors.Join(err, file.Close()))
	j = open(origin, 98)
	check(j.Mark(200))
	check(j.Stop(200))
	other := origin
	other.Mode = "take_over"
	check(open(other, 0).Stop(5))
	check(open(origin, 0).Remove())
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the journal is still there: %v", err)
	}
}

// TestSmear: the same secret has the same place, and many are spread evenly.
func TestSmear(t *testing.T) {
	t.Parallel()
	const window, n = 10 * time.Minute, 60_000
	minutes := make([]int, 10)
	for i := range n {
		at := transfer.Smear("PR", fmt.Sprint(i), window)
		if at < 0 || at >= window || at != transfer.Smear("PR", fmt.Sprint(i), window) {
			t.Fatalf("place %v", at)
		}
		minutes[at/time.Minute]++
	}
	for minute, got := range minutes {
		if got < n/10*95/100 || got > n/10*105/100 {
			t.Errorf("%d in minute %d", got, minute)
		}
	}
	if transfer.Smear("PR", "x", 0) != 0 {
		t.Error("a window of nothing is at once")
	}
}

// TestTurn: lines are due in their order, evenly, and all within the window.
func TestTurn(t *testing.T) {
	t.Parallel()
	const window, n = 24 * time.Hour, 1_000_000
	last := time.Duration(-1)
	for line := 1; line <= n; line += 999 {
		at := transfer.Turn(line, n, window)
		if at < last || at >= window {
			t.Fatalf("line %d: place %v behind %v", line, at, last)
		}
		last = at
	}
	for line, want := range map[int]time.Duration{1: 0, n / 2: 12*time.Hour - window/n, n: window - window/n} {
		if got := transfer.Turn(line, n, window).Round(time.Microsecond); got != want {
			t.Errorf("line %d: place %v, want %v", line, got, want)
		}
	}
	if transfer.Turn(n, n, 0) != 0 {
		t.Error("a window of nothing is at once")
	}
}

// FuzzJournal: whatever a journal holds, it can be opened and written.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("{\"mode\":\"create\",\"target\":\"t\"}\n\n{\"line\":32}\n"))
	f.Add([]byte("{\"mode\":\"create\",\"target\":\"t\"}\n{\"line\":-7}{\"line\":1e9}\n{"))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "journal")
	f.Fuzz(func(t *testing.T, body []byte) {
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		of := transfer.Origin{Mode: "create", Target: "t"}
		j, line, err := transfer.OpenJournal(path, of)
		if err != nil || line < 0 {
			t.Fatalf("line %d: %v", line, err)
		}
		if err := j.Stop(line + 1); err != nil {
			t.Fatal(err)
		}
		if _, again, err := transfer.OpenJournal(path, of); again != line+1 || err != nil {
			t.Errorf("goes on behind %d, want %d: %v", again, line+1, err)
		}
	})
}
