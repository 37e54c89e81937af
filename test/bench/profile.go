package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// owner is a part of the program and what its functions begin with.
type owner struct {
	name     string
	prefixes []string
}

const ours = "github.com/rekindle-dev/rekindle/"

// processorOwners say who kept a processor busy: the function nearest to where
// the time was spent that belongs to one of them.
func processorOwners() []owner {
	return []owner{
		{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcMarkDone", "runtime.gcMarkTermination"}},
		{"sealing and opening", []string{"crypto/hpke", "crypto/mlkem", "crypto/internal/fips140", ours + "pkg/seal"}},
		{"JSON", []string{"encoding/json"}},
		{"HTTP to the provider", []string{"net/http"}},
		{"traces, metrics, logs", []string{"go.opentelemetry.io", "github.com/prometheus", "log/slog", ours + "pkg/ops"}},
		{"NATS server", []string{"github.com/nats-io/nats-server"}},
		{"NATS client", []string{"github.com/nats-io/nats.go", "github.com/nats-io/nuid"}},
		{"bus", []string{ours + "pkg/bus", ours + "events"}},
		{"scheduler", []string{ours + "services/scheduler"}},
		{"api projection", []string{ours + "services/api"}},
		{"exchanger", []string{ours + "services/exchanger", ours + "pkg/secret"}},
	}
}

// memoryOwners say who holds memory: the first of them that has a function in the
// stack that took it, since most of it is taken in the name of encoding/json.
func memoryOwners() []owner {
	return []owner{
		{"api projection", []string{ours + "services/api"}},
		{"scheduler index", []string{ours + "services/scheduler"}},
		{"exchanger", []string{ours + "services/exchanger"}},
		{"NATS server: subjects of the store", []string{"github.com/nats-io/nats-server/v2/server/stree", "github.com/nats-io/nats-server/v2/server.(*fileStore).populateGlobalPerSubjectInfo"}},
		{"NATS server: blocks of the store", []string{"github.com/nats-io/nats-server/v2/server.(*msgBlock)", "github.com/nats-io/nats-server/v2/server.(*fileStore)", "github.com/nats-io/nats-server/v2/server.getMsgBlockBuf"}},
		{"NATS server: rest", []string{"github.com/nats-io/nats-server"}},
		{"NATS client and bus", []string{"github.com/nats-io/nats.go", ours + "pkg/bus"}},
	}
}

// question is what is asked of a profile: how much of a kind of sample each owner
// has. Nearest says that the function nearest to the event counts, else the order
// of the owners does.
type question struct {
	sample, unit string
	owners       []owner
	nearest      bool
}

// share is how much an owner has of a profile, in its unit.
type share struct {
	owner string
	value float64
}

// takeProfile has a process write a profile to a file.
func (p *process) takeProfile(ctx context.Context, o options, name, query string) (file string, err error) {
	body, err := fetch(ctx, p.ops+"/debug/pprof/"+name+query, "")
	if err != nil {
		return "", err
	}
	defer body.Close()
	file = filepath.Join(o.dir, p.name+"."+name)
	f, err := os.Create(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.Copy(f, body)
	return file, err
}

// explain adds up a profile by owner, the greatest first.
func explain(ctx context.Context, file string, q question) ([]share, error) {
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-sample_index="+q.sample, "-unit="+q.unit, "-symbolize=none", file).Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w", err)
	}
	sums := map[string]float64{}
	for value, stack := range stacks(out, q.unit) {
		sums[q.whose(stack)] += value
	}
	var shares []share
	for name, sum := range sums {
		shares = append(shares, share{name, sum})
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Or(-cmp.Compare(a.value, b.value), cmp.Compare(a.owner, b.owner)) })
	return shares, nil
}

// stacks yields the samples of what pprof -traces prints: a value and the
// functions under it, innermost first.
func stacks(out []byte, unit string) func(yield func(float64, []string) bool) {
	return func(yield func(float64, []string) bool) {
		var value float64
		var stack []string
		lines := bufio.NewScanner(bytes.NewReader(out))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := lines.Text()
			fields := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, "-----"):
				if stack != nil && !yield(value, stack) {
					return
				}
				stack = nil
			case len(fields) == 0 || strings.HasSuffix(fields[0], ":"): // a heading or a label
			case stack == nil && len(fields) > 1:
				n, err := strconv.ParseFloat(strings.TrimSuffix(fields[0], unit), 64)
				if err == nil {
					value, stack = n, []string{fields[1]}
				}
			case stack != nil:
				stack = append(stack, fields[0])
			}
		}
		if stack != nil {
			yield(value, stack)
		}
	}
}

func (q question) whose(stack []string) string {
	if q.nearest {
		for _, f := range stack {
			for _, o := range q.owners {
				if o.owns(f) {
					return o.name
				}
			}
		}
		return "runtime and kernel"
	}
	for _, o := range q.owners {
		if slices.ContainsFunc(stack, o.owns) {
			return o.name
		}
	}
	return "rest"
}

func (o owner) owns(function string) bool {
	return slices.ContainsFunc(o.prefixes, func(p string) bool { return strings.HasPrefix(function, p) })
}
