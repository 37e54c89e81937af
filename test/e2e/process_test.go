package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// process is a process of the fleet and what it has printed.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and err is set
	err   error

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed at the next line, then another
}

// startProcess starts a process, which is killed when the test ends. What it has
// printed is shown if the test has failed.
func startProcess(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var read sync.WaitGroup
	read.Go(func() { p.read(out) })
	go func() {
		p.err = cmd.Wait()
		in.Close()
		read.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.printed())
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// await waits for a line of which find returns something.
func (p *process) await(ctx context.Context, what string, find func(line string) string) (string, error) {
	for seen := 0; ; {
		p.mu.Lock()
		lines, more := p.lines[seen:], p.more
		p.mu.Unlock()
		for _, line := range lines {
			if found := find(line); found != "" {
				return found, nil
			}
		}
		seen += len(lines)
		select {
		case <-more:
			continue
		default:
		}
		select {
		case <-more:
		case <-p.ended:
			return "", fmt.Errorf("%s ended without %s: %w", p.name, what, p.err)
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s of %s: %w", what, p.name, ctx.Err())
		}
	}
}

// stop asks the process to stop and waits until it has. An error is one of how
// it ended.
func (p *process) stop(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s did not stop: %w", p.name, context.Cause(ctx))
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}
