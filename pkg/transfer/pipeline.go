package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is what became of a row.
type Result struct {
	Line       int        `json:"line"`
	Property   string     `json:"property,omitempty"`
	Name       string     `json:"name,omitempty"`
	ID         string     `json:"id,omitempty"`
	Result     string     `json:"result"`
	ExchangeAt *time.Time `json:"exchange_at,omitempty"`
	// Error is why the row was not taken in; empty if it was.
	Error string `json:"error,omitempty"`
}

// Pipeline takes lines in: several at a time, and tells of them in their order.
type Pipeline struct {
	// Next returns the next line, or io.EOF.
	Next func() (Line, error)
	// Workers is how many lines are at work at a time. Some more are read ahead.
	Workers int
	// Do takes a line in. Its error ends the run; what is wrong with the line alone
	// is a result. It is called by several at once.
	Do func(context.Context, Line) (Result, error)
	// Done is told of every line in its order; its error ends the run.
	Done func(Line, Result) error
}

// running is a line at work.
type running struct {
	line Line
	done chan outcome
}

type outcome struct {
	result Result
	err    error
}

// Run takes all lines in. When it ends early, Done was told of all lines before
// the one that it ended at; of those that follow, some may have been taken in.
func (p *Pipeline) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	work, order := make(chan running), make(chan running, p.Workers)
	g.Go(func() error {
		defer close(order)
		defer close(work)
		return p.read(ctx, work, order)
	})
	for range p.Workers {
		g.Go(func() error {
			for r := range work {
				result, err := p.Do(ctx, r.line)
				r.done <- outcome{result, err}
			}
			return nil
		})
	}
	g.Go(func() error { return p.collect(ctx, order) })
	return g.Wait()
}

// read hands lines out: to be told of, and then to be worked on. An error comes in
// the place of its line.
func (p *Pipeline) read(ctx context.Context, work, order chan<- running) error {
	for {
		line, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		r := running{line, make(chan outcome, 1)}
		select {
		case order <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			r.done <- outcome{err: err}
			return nil
		}
		select {
		case work <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Pipeline) collect(ctx context.Context, order <-chan running) error {
	for r := range order {
		var o outcome
		select {
		case o = <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if o.err != nil {
			return o.err
		}
		if err := p.Done(r.line, o.result); err != nil {
			return err
		}
	}
	return nil
}

// Turn returns a place within a window for the first exchange of the secret of a
// line: the lines have theirs in their order. So the records of those that are due
// one after another lie together in the store, which reads and keeps in memory whole
// blocks of it.
func Turn(line, lines int, over time.Duration) time.Duration {
	return time.Duration(float64(over) * float64(line-1) / float64(lines))
}

// Smear does what [Turn] does where nobody knows how many lines there are. The place
// is the same for the same secret, and places are spread evenly over many.
func Smear(property, name string, over time.Duration) time.Duration {
	sum := sha256.Sum256([]byte("rekindle.smear.v1\x00" + property + "\x00" + name))
	const parts = 1 << 32
	part := binary.BigEndian.Uint32(sum[:])
	return time.Duration(float64(over) * float64(part) / parts)
}
