package main

import (
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
	"github.com/rekindle-dev/rekindle/services/exchanger"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

var (
	chaosRounds = flag.Int("chaos.rounds", 0, "how often every death of TestChaos is died; 0 is once, and not all")
	chaosOnly   = flag.String("chaos.only", "", "which deaths: a pattern for the names they have in the table")
	chaosLanes  = flag.Int("chaos.lanes", 7, "how many fleets die at a time")
	chaosEach   = flag.Int("chaos.each", 4, "how many secrets of each rotation are in every death")
)

// Two moments in the midst of a step: the request is at the provider, which has
// not looked at it; and the provider has done what it asks, and holds the answer
// back.
const (
	stepSend exchanger.Step = "send"
	stepPost exchanger.Step = "post"
)

// death is a moment of the refresh cycle, and what happens then to all exchangers
// there are.
type death struct {
	at  exchanger.Step // it is after this step
	how syscall.Signal
}

func (d death) String() string {
	return map[syscall.Signal]string{
		syscall.SIGKILL: "killed", syscall.SIGTERM: "stopped", syscall.SIGSTOP: "stalled",
	}[d.how] + " after " + string(d.at)
}

// sent reports whether the request of a refresh had been sent, and whoever sent it
// never came to storing the outcome: then it takes a second one.
func (d death) sent() bool {
	return d.how != syscall.SIGTERM && slices.Contains([]exchanger.Step{stepSend, stepPost, exchanger.StepExchange}, d.at)
}

// keepsBack reports whether a refresh token may not be sent again after the death,
// because it was replaced, and the provider does not take it for long enough. A
// stalled exchanger seems alive to the server, and may be given back a job that it
// holds: it can take several turns, of 4 s each, until another has it.
func (d death) keepsBack(r rotation) bool {
	if !d.sent() || d.at == stepSend || r.does.Rotation != sandbox.RotationRotate {
		return false
	}
	turns := 1
	if d.how == syscall.SIGSTOP {
		turns = 5
	}
	return time.Duration(r.does.Grace) < time.Duration(turns)*bus.AckWait
}

// loses reports whether a grant may be lost by it: whoever has the next refresh token
// is dead. Who only stood still brings it yet; but an answer that was still to come
// may come too late for the client, which waits for 10 s.
func (d death) loses(r rotation) bool {
	return d.keepsBack(r) && (d.how != syscall.SIGSTOP || d.at == stepPost)
}

// life is how long the access tokens are to live that are refreshed at half of it:
// for those whose exchanger stands still, long enough that it comes back before the
// last attempt's place.
func (d death) life() time.Duration {
	if d.how == syscall.SIGSTOP {
		return longerLife
	}
	return firstLife
}

// deaths are all there are, or the few that have the most to lose.
func deaths(all bool) []death {
	if !all {
		return []death{
			{stepPost, syscall.SIGKILL},
			{exchanger.StepExchange, syscall.SIGKILL},
			{exchanger.StepClaim, syscall.SIGKILL},
			{exchanger.StepGrant, syscall.SIGKILL},
			{stepPost, syscall.SIGTERM},
		}
	}
	steps := exchanger.Steps()
	steps = slices.Insert(steps, slices.Index(steps, exchanger.StepExchange), stepPost)
	var list []death
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM} {
		for _, step := range steps {
			list = append(list, death{step, how})
		}
	}
	return append(list, death{stepSend, syscall.SIGKILL})
}

// TestChaos has exchangers die, as processes do, after every step of the refresh
// cycle, with refresh tokens of every rotation, and counts at the provider. What
// must be: never a second request for one decision, and no grant lost that the
// provider would have let us keep. "make chaos" goes through all deaths, several
// times, and prints what came of them.
func TestChaos(t *testing.T) {
	all := *chaosRounds > 0
	only, err := regexp.Compile(*chaosOnly)
	if err != nil {
		t.Fatal(err)
	}
	order := slices.DeleteFunc(deaths(all), func(d death) bool { return !only.MatchString(d.String()) })
	lanes, each, queue := *chaosLanes, *chaosEach, order
	if all {
		queue = slices.Repeat(order, *chaosRounds)
	} else {
		lanes, each = len(queue), 2
	}
	next := make(chan death, len(queue))
	for _, d := range queue {
		next <- d
	}
	close(next)
	book := &register{fates: map[death]map[string]*fate{}}
	var running sync.WaitGroup
	for i := range lanes {
		running.Go(func() {
			// Not t.Parallel: a lane waits most of the time and needs no core.
			t.Run(fmt.Sprintf("lane %d", i+1), func(t *testing.T) {
				l := newLane(t)
				for d := range next {
					l.suffer(d, each, book)
				}
				l.end()
			})
		})
	}
	running.Wait()
	book.print(t, order)
	book.check(t)
}

// suffer lets secrets of every rotation fall due, all exchangers die while they
// are at the same step with all of them, and others go on.
func (l *lane) suffer(d death, each int, book *register) {
	secrets := l.born(each, d.life())
	ids := slices.Collect(maps.Keys(secrets))
	there := l.arrange(d, each)
	select {
	case <-there:
	case <-time.After(patience):
		l.t.Fatalf("%v: not all of %d refreshes came there in %v", d, len(ids), patience)
	}
	l.die(d, ids)
	settled := l.records.await(l.t, "refreshed, or given up", ids, atRest)
	fates := map[string]fate{}
	for _, id := range ids {
		fates[id] = l.wire.fate(id)
	}
	lost := l.lost(ids, settled)
	for id, r := range secrets {
		f := fates[id]
		f.secrets, f.again, f.says = 1, l.wire.fate(id).again, map[string]int{says(settled[id]): 1}
		if lost[id] {
			f.lost = 1
		}
		if d.keepsBack(r) {
			f.after = 0 // when little was left to lose
		}
		book.note(d, r, f)
	}
}

// born makes secrets whose access tokens have not long to live, but live yet.
func (l *lane) born(each int, life time.Duration) map[string]rotation {
	for _, r := range rotations() {
		l.provide(r, life, sandbox.Step{})
	}
	l.round++
	var mu sync.Mutex
	var making sync.WaitGroup
	secrets := map[string]rotation{}
	for _, r := range rotations() {
		making.Go(func() {
			for i := range each {
				id, err := l.create(r, fmt.Sprintf("%s %d.%d", r.name, l.round, i))
				if err != nil {
					l.t.Errorf("a secret of %s: %v", r.name, err)
					return
				}
				mu.Lock()
				secrets[id] = r
				mu.Unlock()
			}
		})
	}
	making.Wait()
	if l.t.Failed() {
		l.t.FailNow()
	}
	made := l.records.await(l.t, "authorized", slices.Collect(maps.Keys(secrets)), func(s *secret.Secret) bool {
		return s.Status == secret.Succeeded
	})
	for _, r := range rotations() {
		l.provide(r, laterLife, sandbox.Step{})
	}
	for id, s := range made {
		if time.Until(s.RefreshAt) < time.Second || l.wire.fate(id).requests > 0 {
			l.t.Log("the machine is slow: a refresh was due before all secrets were there")
			return l.born(each, life)
		}
	}
	return secrets
}

// arrange has everybody wait at the moment of the death. The channel closes when
// they are there.
func (l *lane) arrange(d death, each int) <-chan struct{} {
	if d.at != stepPost && d.at != stepSend {
		return l.gate.close(d.at, each*len(rotations()))
	}
	l.gate.close("", 0)
	midst := sandbox.Step{Hold: true}
	if d.at == stepSend {
		midst = sandbox.Step{Fault: sandbox.FaultNeverAnswer}
	}
	there := make(chan struct{})
	var coming sync.WaitGroup
	for _, r := range rotations() {
		client, err := l.provider.Client(r.name)
		if err != nil {
			l.t.Fatal(err)
		}
		l.provide(r, laterLife, midst)
		coming.Go(func() {
			_ = l.provider.WaitRequests(l.t.Context(), r.name, client.Counters.Requests+uint64(each)) // then the test is over
		})
	}
	go func() { coming.Wait(); close(there) }()
	return there
}

// die lets the exchangers die, and others take their place.
func (l *lane) die(d death, ids []string) {
	dying := l.exchangers
	l.signal(d.how, dying...)
	l.gate.pass()
	for _, r := range rotations() {
		l.provide(r, laterLife, sandbox.Step{})
	}
	switch d.how {
	case syscall.SIGKILL:
		l.gone(-1, dying...)
		l.exchange()
	case syscall.SIGTERM:
		for _, name := range dying {
			l.processes[name].wait(l.t, "stopping")
		}
		l.release()
		l.gone(0, dying...)
		l.exchange()
	case syscall.SIGSTOP:
		was := l.records.await(l.t, "there", ids, func(*secret.Secret) bool { return true })
		l.exchange()
		l.records.await(l.t, "taken over", ids, func(s *secret.Secret) bool { return s.Decision > was[s.ID].Decision || atRest(s) })
		l.signal(syscall.SIGCONT, dying...)
		l.release()
		l.signal(syscall.SIGTERM, dying...)
		l.gone(0, dying...)
	}
}

// release lets go of all who wait.
func (l *lane) release() {
	l.gate.release()
	for _, r := range rotations() {
		if err := l.provider.Release(r.name); err != nil {
			l.t.Fatal(err)
		}
	}
}

// atRest reports whether nothing is to happen to the secret for long.
func atRest(s *secret.Secret) bool {
	next := s.Plan()
	return s.Status != secret.Pending && (next.Action == secret.Rest || time.Until(next.At) > laterLife/4)
}

// lost asks for one more exchange of all secrets: those are lost for which it
// takes a person.
func (l *lane) lost(ids []string, settled map[string]*secret.Secret) map[string]bool {
	lost, asked := map[string]bool{}, map[string]uint64{}
	for _, id := range ids {
		s := settled[id]
		if a := s.Authorization; a.Required || !a.EndedAt.IsZero() {
			lost[id] = true
			continue
		}
		if _, err := l.client.Act(l.t.Context(), id, string(s.Kind), client.ActionRetry); err != nil {
			l.t.Fatal(err)
		}
		asked[id] = s.Decision
	}
	again := l.records.await(l.t, "exchanged once more", slices.Collect(maps.Keys(asked)), func(s *secret.Secret) bool {
		return s.Decision > asked[s.ID]+1 && s.Status != secret.Pending
	})
	for id, s := range again {
		lost[id] = s.Status != secret.Succeeded
	}
	return lost
}

// end stops the fleet in order and looks for what must not be found.
func (l *lane) end() {
	names := append([]string{"api", "scheduler"}, l.exchangers...)
	l.signal(syscall.SIGTERM, names...)
	l.gone(0, names...)
	l.signal(syscall.SIGINT, "nats")
	l.gone(0, "nats")
	if n := l.wire.strangers(); n != 0 {
		l.t.Errorf("%d token requests were for no secret at all", n)
	}
	l.absent()
}
