package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Test is what a test found (contract A8). Exchange is the provider's answer as
// it came, access token included, and the caller's to overwrite.
type Test struct {
	Exchange json.RawMessage
	// Warning says what would keep the answer from being accepted.
	Warning string
}

// testIn is how long a test may take, with the time it waits for its turn.
const testIn = 13 * time.Second

// testSecret has an exchanger make one exchange of which nothing is kept. The
// answer is sealed to a key that this call makes and forgets: nobody else on the
// bus can open it.
func (s *Service) testSecret(ctx context.Context, who Caller, current *secret.Secret) (*Changed, error) {
	if s.deps.Tester == nil {
		return nil, fmt.Errorf("%w: tests are not available here", ErrNotReady)
	}
	if wait := s.tests.admit(who.Org, current.ID, s.now()); wait > 0 {
		return nil, &TooManyError{Wait: wait}
	}
	key, err := seal.NewReply()
	if err != nil {
		return nil, err
	}
	id := secret.NewUUID()
	answer, err := s.ask(ctx, current, key, id)
	// The token is shown to nobody unless it stands in the outbox that it is.
	shown, unnoted := s.intend(ctx, showing(who, current, s.now(), outcomeOf(answer, err)))
	if unnoted != nil {
		return nil, unnoted
	}
	shown.done(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return notTested(current, "timeout", "no exchanger has made the test in time: they may be busy or down; try again")
	case err != nil:
		return nil, err
	case answer.Busy:
		return notTested(current, "busy", "another exchange of this secret is under way: try again")
	}
	return &Changed{Secret: current, Test: &Test{Exchange: answer.Exchange, Warning: answer.Warning}}, nil
}

// showing is the deed that shows what a test found.
func showing(who Caller, of *secret.Secret, at time.Time, outcome events.TestOutcome) deed {
	return deed{
		who: who, verb: audit.Read, of: tellSecret{of}, action: TestIt, outcome: string(outcome),
		says: []saying{sayTested(of, at, who.Actor, outcome)},
	}
}

// ask has an exchanger make the test with this id and returns its answer. It
// returns context.DeadlineExceeded when none came in time.
func (s *Service) ask(ctx context.Context, current *secret.Secret, key *seal.Reply, id string) (answer events.TestAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, testIn)
	defer cancel()
	deadline, _ := ctx.Deadline()
	sealed, err := s.deps.Tester.Ask(ctx, events.Event{
		ID: id, Source: source, Org: current.Org, Time: s.now(), Trace: traceparent(ctx),
		Data: events.TestRequested{Secret: current.ID, Key: key.Key(), Before: s.now().Add(time.Until(deadline))},
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return answer, err
	}
	if err != nil {
		return answer, unavailable(err)
	}
	plain, err := key.Open(seal.Binding{Secret: current.ID, Field: events.FieldTestAnswer}, sealed)
	if err != nil {
		return answer, err
	}
	defer plain.Wipe()
	text := plain.Reveal()
	defer clear(text)
	if json.Unmarshal(text, &answer) != nil {
		return answer, errors.New("the answer to a test cannot be read")
	}
	return answer, nil
}

// outcomeOf says what came of a test: all that others are told of it.
func outcomeOf(answer events.TestAnswer, err error) events.TestOutcome {
	var refusal struct {
		Error json.RawMessage `json:"error"`
	}
	switch {
	case err != nil:
		return events.TestUnknown
	case answer.Busy:
		return events.TestNotMade
	case json.Unmarshal(answer.Exchange, &refusal) != nil || refusal.Error != nil:
		return events.TestFailed
	default:
		return events.TestSucceeded
	}
}

// notTested is the answer when no exchange was made.
func notTested(current *secret.Secret, code, description string) (*Changed, error) {
	body, err := json.Marshal(map[string]string{"error": code, "error_description": description})
	return &Changed{Secret: current, Test: &Test{Exchange: body}}, err
}
