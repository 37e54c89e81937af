package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// cmdBulk works on many secrets at once:
//
//	bulk create N        makes N client-credentials secrets in $PR and $EN
//	bulk generations N   waits until each has been exchanged N times more
//	bulk alive           fails unless all are there, succeeded, and still refreshed
func cmdBulk(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	switch args[0] {
	case "create":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		if raceDetector {
			// The processes of a scenario are as slow as this one.
			n /= 10
			ts.Logf("under the race detector: %d secrets", n)
		}
		f.bulk = n
		f.bulkCreate(ts, n)
	case "generations":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		f.bulkGenerations(ts, n)
	case "alive":
		f.bulkAlive(ts)
	default:
		ts.Fatalf("bulk: unknown verb %s", args[0])
	}
}

func (f *testFleet) bulkCreate(ts *testscript.TestScript, n int) {
	c := f.client()
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			_, err := c.CreateSecret(ctx, ts.Getenv("PR"), client.NewSecret{
				Name: fmt.Sprintf("bulk-%04d", i), TypeOf: "oauth2-client_credentials", Environment: ts.Getenv("EN"),
				Credentials: map[string]any{"client_id": fmt.Sprintf("bulk-%04d", i), "client_secret": "canary-client-secret", "token_url": f.sandbox + "/token"},
			})
			return err
		})
	}
	ts.Check(g.Wait())
}

func (f *testFleet) bulkList(ts *testscript.TestScript) []client.Secret {
	all, err := f.client().Secrets(context.Background(), ts.Getenv("PR"), nil)
	ts.Check(err)
	return all
}

// bulkGenerations waits until the activation of each secret has moved n times.
func (f *testFleet) bulkGenerations(ts *testscript.TestScript, n int) {
	last := map[string]time.Time{}
	moved := map[string]int{}
	behind := 0
	eventually(ts, fmt.Sprintf("%d generations", n), func() bool {
		behind = 0
		for _, s := range f.bulkList(ts) {
			id, at := s.ID.ID, s.Attributes.ActivatedAt
			if at != nil && at.After(last[id]) {
				if !last[id].IsZero() {
					moved[id]++
				}
				last[id] = *at
			}
			if moved[id] < n {
				behind++
			}
		}
		return behind == 0
	}, func() string { return fmt.Sprintf("%d secrets are behind", behind) })
}

// bulkAlive does not look at the clock: how late a refresh may be on a busy
// machine is for benchmarks to say.
func (f *testFleet) bulkAlive(ts *testscript.TestScript) {
	all := f.bulkList(ts)
	if len(all) != f.bulk {
		ts.Fatalf("%d secrets of %d are there", len(all), f.bulk)
	}
	for _, s := range all {
		if s.Attributes.Status != "succeeded" || s.Meta.RefreshStatus == "failed" {
			ts.Fatalf("%s %s is %s, refresh %s: %s", s.ID.ID, s.Attributes.Name, s.Attributes.Status, s.Meta.RefreshStatus, s.Meta.RefreshStatusDetails)
		}
	}
}
