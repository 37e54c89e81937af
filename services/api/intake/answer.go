package intake

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/services/api"
)

// nameless is how an event is called that has no id that can be used.
func nameless(place uint64) string { return "INTAKE." + strconv.FormatUint(place, 10) }

// accept answers an event that is carried out, which has announced that already, to whoever
// waits.
func (d *Door) accept(ctx context.Context, r *request, changed *api.Changed) error {
	accepted := r.errand.Accepted(changed.Secret)
	result := resultAccepted
	if changed.Unchanged {
		result = resultUnchanged
	}
	if changed.Dialog != nil {
		accepted.AuthorizationURL, accepted.AuthorizeUntil = changed.Dialog.URL, changed.Dialog.Until
	}
	d.settled(r, result)
	return d.reply(ctx, r, accepted)
}

// repeat answers an event that was carried out before. Then it is erased: nobody looks into
// it, and it may hold what the first did not.
func (d *Door) repeat(ctx context.Context, r *request, accepted *events.Accepted) error {
	accepted.Duplicate = true
	d.settled(r, resultRepeated)
	if err := d.reply(ctx, r, *accepted); err != nil {
		return err
	}
	return d.erase(ctx, r)
}

// refuse is reject for what depends on what is stored: the refusal is noted first.
func (d *Door) refuse(ctx context.Context, r *request, problems []events.Problem) error {
	if err := d.deps.Service.Refuse(ctx, r.Org, r.errand); err != nil {
		return err
	}
	return d.reject(ctx, r, problems)
}

// reject answers an event that is refused: among the facts, so that a crash leaves the
// answer; then it is erased; then whoever waits is told.
func (d *Door) reject(ctx context.Context, r *request, problems []events.Problem) error {
	rejected := events.Rejected{Event: r.errand.ID, EventSource: r.Source, EventType: r.CEType, Problems: bound(problems)}
	if err := d.publish(ctx, r.answer(d, rejected)); err != nil {
		return err
	}
	if err := d.erase(ctx, r); err != nil {
		return err
	}
	d.settled(r, resultRejected)
	return d.reply(ctx, r, rejected)
}

func (d *Door) erase(ctx context.Context, r *request) error {
	if err := d.deps.Queue.Erase(ctx, r.Place); err != nil {
		return fmt.Errorf("%w: erase: %w", api.ErrUnavailable, err)
	}
	return nil
}

// answer is an answer as it is published.
func (r *request) answer(d *Door, data events.Data) events.Event {
	return r.errand.Answer(r.Org, data, d.deps.Now().UTC(), r.Trace, r.Place)
}

func (d *Door) publish(ctx context.Context, answer events.Event) error {
	header, body, err := events.Encode(answer)
	if err != nil {
		return err
	}
	if err := d.deps.Events.Forward(ctx, header, body); err != nil {
		return fmt.Errorf("%w: publish: %w", api.ErrUnavailable, err)
	}
	return nil
}

// reply tells whoever waits for it.
func (d *Door) reply(ctx context.Context, r *request, data events.Data) error {
	if r.Reply == "" {
		return nil
	}
	if err := d.deps.Queue.Reply(ctx, r.Reply, r.answer(d, data)); err != nil {
		return fmt.Errorf("%w: reply: %w", api.ErrUnavailable, err)
	}
	return nil
}

// Bounds of a refusal: one that says more than this is no easier to mend.
const (
	maxProblems = 50
	maxText     = 512
	// maxSaid leaves room for what else a refusal says. In bytes of JSON, where a
	// character of what was sent may take six.
	maxSaid = events.MaxBody - 8<<10
)

// codeInternal is the code of what is no fault of the publisher.
const codeInternal = "internal-error"

func internalError() events.Problem {
	return events.Problem{Code: codeInternal, Detail: "something went wrong here, several times; the log of the api has it. Publish the event again when that is mended"}
}

func tooLarge(size int) events.Problem {
	return events.Problem{Code: string(api.InvalidJSON), Detail: fmt.Sprintf("the data has %d bytes, at most %d are allowed", size, events.MaxBody)}
}

func problemsOf(refused *api.RefusedError) []events.Problem {
	problems := make([]events.Problem, len(refused.Problems))
	for i, p := range refused.Problems {
		problems[i] = events.Problem{Code: string(p.Code), Pointer: p.Pointer, Detail: p.Detail}
	}
	return problems
}

// bound keeps an answer to what an event can hold.
func bound(problems []events.Problem) []events.Problem {
	problems = problems[:min(len(problems), maxProblems)]
	said := 0
	for i := range problems {
		p := &problems[i]
		p.Pointer, p.Detail = cut(p.Pointer), cut(p.Detail)
		body, err := json.Marshal(p)
		if said += len(body) + 1; err != nil || said > maxSaid {
			return problems[:i]
		}
	}
	return problems
}

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return string([]rune(text[:maxText])) + "…"
}
