package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// token is the administrator's bearer token in every fleet that is measured.
const token = "bench-administrator-of-a-fleet-on-loopback"

// process is a running rekindle.
type process struct {
	name      string
	patience  time.Duration
	cmd       *exec.Cmd
	log       string
	started   time.Time
	done      chan struct{} // closed when it has ended
	api, ops  string        // base URLs; api is empty for a process that has none
	readyFrom time.Time     // when it was seen to be ready
}

// launch starts rekindle serve with these flags besides the usual ones, and
// returns when it is ready. What it logs goes to a file, as it would on a machine
// of its own: reading it along would be work that counts as the fleet's.
func launch(ctx context.Context, o options, name, dir string, flags ...string) (*process, error) {
	p := &process{name: name, patience: o.patience, log: filepath.Join(o.dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--data-dir", dir, "--log-format", "json",
		"--egress-allow", "127.0.0.0/8", "--config", filepath.Join(o.dir, "rekindle.yaml"),
	}, flags...)
	p.cmd = exec.Command(o.program, args...) // whoever launched it ends it
	p.cmd.Env = append(os.Environ(), "REKINDLE_BOOTSTRAP_TOKEN="+token)
	p.cmd.Stderr = log
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // most of them are killed
	}()
	if err := p.await(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// await waits until the process has said that its last task is ready.
func (p *process) await(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(p.patience)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended at its start:\n%s", p.name, p.tail())
		case <-deadline:
			return fmt.Errorf("%s is not ready after %v:\n%s", p.name, p.patience, p.tail())
		case <-tick.C:
		}
		if ready, err := p.read(); ready || err != nil {
			p.readyFrom = time.Now()
			return err
		}
	}
}

// read learns from the log where the process listens and whether it is ready.
func (p *process) read() (ready bool, err error) {
	body, err := os.ReadFile(p.log)
	if err != nil {
		return false, err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		var entry struct{ Msg, Addr, URL, Task, Target string }
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue // the last line may be half written
		}
		switch entry.Msg {
		case "ops listener is up":
			p.ops = "http://" + entry.Addr
		case "serving the API":
			p.api = entry.URL
		case "task is ready":
			last := entry.Target
			if last == "all" {
				last = "api"
			}
			ready = ready || entry.Task == last
		}
	}
	return ready, nil
}

func (p *process) tail() string {
	body, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(body[max(0, len(body)-4000):])
}

// kill ends the process as a power switch would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it has ended already
	<-p.done
}

// stop lets the process end by itself.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(p.patience):
		p.kill()
		return fmt.Errorf("%s did not end when it was asked to", p.name)
	}
}

// memory is what a process holds of the machine's memory, in bytes.
func (p *process) memory() (int64, error) {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the system does not say how much memory a process holds")
}

// processorTime is how long a process has kept processors busy, its system calls
// included, to 10 ms.
func processorTime(pid int) (time.Duration, error) {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the name, in parentheses, and may hold anything.
	fields := strings.Fields(string(body[bytes.LastIndexByte(body, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("the system does not say how busy a process was")
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// restTime is how long the machine's processors have had nothing to do, together.
func restTime() (time.Duration, error) {
	body, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(body)) // "cpu", user, nice, system, idle, …
	if len(fields) < 5 {
		return 0, errors.New("the system does not say how much of its processors is free")
	}
	ticks, err := strconv.ParseInt(fields[4], 10, 64)
	return time.Duration(ticks) * 10 * time.Millisecond, err
}

func loadAverage() string {
	body, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(body))[:3], " ")
}

// diskUse is how much the files under dir take.
func diskUse(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error { // files come and go meanwhile
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}
