// Command bench measures a fleet: it starts the real program as a process of its
// own, gives it secrets that fall due at known times, answers its token requests,
// and prints what that cost and how late it was, as tables.
//
//	go run ./test/bench -rekindle bin/rekindle -secrets 1000000 -steady 10m
//
// It stands beside the product and not in it: what is shipped carries no load
// generator and no second OAuth client.
//
// # What is real, and what is not
//
// The fleet, its NATS server, its store on disk, its sockets and its clocks are
// real, and so is the token endpoint, an HTTP server in this process. Its
// processor time is this process's and is printed beside the fleet's.
//
// Secrets are not created over the API. Their records are written straight into
// the fleet's store before it starts, by the codecs of pkg/secret and sealed to
// its keyset, as they stand after a first exchange. The current values, and the
// credentials of those that do not fall due, are all the same sealed bytes: nothing
// here opens them.
//
// The store is as it is after an import: of those that do not fall due no record has
// been overwritten yet. What changes then, the steady phase shows. In which order
// secrets fall due, beside that of their records, decides how much of the store is
// in memory: -order.
//
// # What it asserts
//
// Counts: everything that fell due was asked for, and nothing twice. Never a
// time: those are for people to read, with the machine they were taken on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Args[1:], os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// options are what a run is asked for.
type options struct {
	program string // the built rekindle
	dir     string // where data is put; removed afterwards
	parts   []string

	secrets     int
	rate        int           // secrets that fall due, per second
	steady      time.Duration // how long they do, for memory, lateness and cost
	listing     time.Duration // how long lists are asked for, while they do
	burst       int           // secrets that fall due at once, for throughput
	concurrency int           // of the bare loop; the exchanger's workers are the same
	bare        time.Duration // how long it runs
	order       string        // in which secrets fall due
	settle      time.Duration // of quiet before a measurement
	patience    time.Duration // how long anything is waited for
	profile     bool          // whether profiles are taken and explained

	upstream int           // events that upstream systems publish
	several  int           // secrets that fall due per second while processes are killed
	slow     time.Duration // how long a slow provider takes to answer
	outage   time.Duration // from one kill to the next
	progress io.Writer
}

// The orders in which secrets fall due; see timetable.
const (
	orderStore  = "store"
	orderRandom = "random"
)

// The parts of a run.
const (
	partFleet   = "fleet"   // one process: memory, start, lateness, cost, lists, throughput
	partSeveral = "several" // many processes, of which some are killed
	partIntake  = "intake"  // events of upstream systems, while api processes are killed
)

func bench(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	o.dir, err = os.MkdirTemp(o.dir, "rekindle-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(o.dir) // what is left is in the system's place for it
	fmt.Fprintf(out, "%s, %s, %d cores; load before: %s\n\n",
		time.Now().UTC().Format(time.DateTime), runtime.Version(), runtime.NumCPU(), loadAverage())
	err = run(ctx, o, out)
	fmt.Fprintf(out, "Load after: %s\n", loadAverage())
	return err
}

func run(ctx context.Context, o options, out io.Writer) error {
	if err := os.WriteFile(filepath.Join(o.dir, "rekindle.yaml"), fmt.Appendf(nil, configuration, o.concurrency), 0o600); err != nil {
		return err
	}
	if slices.Contains(o.parts, partFleet) {
		if err := measureFleet(ctx, o, out); err != nil {
			return err
		}
	}
	if slices.Contains(o.parts, partSeveral) {
		if err := measureSeveral(ctx, o, out); err != nil {
			return err
		}
	}
	if slices.Contains(o.parts, partIntake) {
		return measureIntake(ctx, o, out)
	}
	return nil
}

func parse(args []string) (options, error) {
	o := options{progress: os.Stderr, settle: 5 * time.Second, patience: 10 * time.Minute, outage: 10 * time.Second}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	parts := f.String("parts", strings.Join([]string{partFleet, partSeveral, partIntake}, ","), "what to measure")
	f.StringVar(&o.program, "rekindle", "bin/rekindle", "the program to measure")
	f.StringVar(&o.dir, "dir", "", "where to put data: 6 GB for a million secrets (default: the system's directory for temporary files)")
	f.IntVar(&o.secrets, "secrets", 10_000, "how many secrets the fleet keeps")
	f.IntVar(&o.rate, "rate", 1000, "how many of them fall due per second")
	f.StringVar(&o.order, "order", orderStore, "in which they do: \""+orderStore+"\", in which their records are kept, or \""+orderRandom+"\"")
	f.DurationVar(&o.steady, "steady", 30*time.Second, "for how long")
	f.DurationVar(&o.listing, "listing", 10*time.Second, "for how long lists are asked for")
	f.IntVar(&o.burst, "burst", 4000, "how many fall due at once, to see the throughput")
	f.IntVar(&o.concurrency, "concurrency", 256, "how many exchanges are under way at once, in the fleet and in the bare loop")
	f.DurationVar(&o.bare, "bare", 5*time.Second, "how long the bare loop runs")
	f.IntVar(&o.several, "several", 200, "how many secrets fall due per second while processes are killed")
	f.IntVar(&o.upstream, "upstream", 5000, "how many events upstream systems publish")
	f.DurationVar(&o.slow, "slow", time.Second, "how long a slow provider takes to answer, to see what one more exchanger is worth")
	f.BoolVar(&o.profile, "profile", true, "take profiles and explain them (wants the go command)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.parts = strings.Split(*parts, ",")
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("what is %q?", f.Arg(0))
	case o.order != orderStore && o.order != orderRandom:
		return o, fmt.Errorf("what order is %q?", o.order)
	case o.burst < 1 || o.rate < 1 || o.secrets < o.burst+o.rate+1:
		return o, errors.New("want more secrets than fall due at once and in a second, together")
	}
	return o, nil
}
