package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/transfer"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// How long a row is tried again while the server is away or has too much to do, and
// the pauses between.
const (
	rowPatience  = time.Minute
	mostRowPause = 5 * time.Second
)

// row takes one row in. The error ends the import: what is wrong with the row alone
// is a result.
func (i *importer) row(ctx context.Context, line transfer.Line) (transfer.Result, error) {
	result := transfer.Result{Line: line.Number, Result: resultFailed}
	row, err := i.decode(line)
	defer row.Wipe()
	result.Name, result.Property = row.Name, row.Property
	if err != nil {
		result.Error = err.Error()
		return result, nil
	}
	done, err := i.deliver(ctx, row, line.Number)
	switch {
	case err == nil:
		result.ID, result.Result, result.ExchangeAt = done.ID.ID, done.Attributes.Result, done.Attributes.ExchangeAt
		if result.Result == resultDiffers {
			result.Error = "another secret of this property has the name: it was left as it is"
		}
		return result, nil
	case rowProblem(err):
		result.Error = err.Error()
		return result, nil
	default:
		return result, err
	}
}

// decode reads a line, and opens what is sealed in it.
func (i *importer) decode(line transfer.Line) (transfer.Row, error) {
	if line.Text == nil {
		return transfer.Row{}, fmt.Errorf("longer than %d bytes", transfer.MaxRow)
	}
	row, err := transfer.Decode(line.Text)
	if err != nil {
		return row, err
	}
	if row.Property == "" {
		row.Property = i.property
	}
	if i.takeOver && i.opener == nil && transfer.Sealed(row) {
		row.Grant = nil // it is here already
		return row, nil
	}
	return row, i.opener.Open(&row)
}

// deliver sends the row of a line until the server has taken it in or refused it. To send it
// again does no harm.
func (i *importer) deliver(ctx context.Context, row transfer.Row, line int) (client.Imported, error) {
	began, pause := i.now(), firstPause
	for {
		done, err := i.send(ctx, row, line)
		wait, passing := passes(err)
		if !passing || i.now().Sub(began) > rowPatience {
			return done, err
		}
		select {
		case <-time.After(max(wait, pause)):
		case <-ctx.Done():
			return done, ctx.Err()
		}
		pause = min(2*pause, mostRowPause)
	}
}

// send sends the row of a line once.
func (i *importer) send(ctx context.Context, row transfer.Row, line int) (client.Imported, error) {
	property, err := i.places.find(ctx, row.Property, "")
	if err != nil {
		return client.Imported{}, err
	}
	order := client.Import{Mode: i.mode(), Elsewhere: i.stage, Name: row.Name, Grant: row.Grant}
	switch {
	case i.stage || i.dryRun:
	case i.report.lines > 0:
		order.ExchangeIn = transfer.Turn(line, i.report.lines, i.over)
	default:
		order.ExchangeIn = transfer.Smear(property, row.Name, i.over)
	}
	if !i.takeOver {
		order.TypeOf, order.Credentials = row.TypeOf, row.Credentials
	}
	if row.Environment != "" && !i.takeOver {
		if order.Environment, err = i.places.find(ctx, property, row.Environment); err != nil {
			return client.Imported{}, err
		}
	}
	return i.client.ImportSecret(ctx, property, order)
}

// passes reports whether what went wrong may pass by itself, and for how long to
// wait at least.
func passes(err error) (time.Duration, bool) {
	if answer, ok := errors.AsType[*client.Error](err); ok {
		return answer.RetryAfter, client.Away(answer.Status) || answer.Status == http.StatusTooManyRequests
	}
	_, away := errors.AsType[*url.Error](err)
	return 0, away && !errors.Is(err, context.Canceled)
}

// rowProblem reports whether an error is about one row: another may well be taken in.
func rowProblem(err error) bool {
	if answer, ok := errors.AsType[*client.Error](err); ok {
		switch {
		case answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden:
			return false
		default:
			return answer.Status < http.StatusInternalServerError && answer.Status != http.StatusTooManyRequests
		}
	}
	coded, ok := errors.AsType[*codedError](err)
	return ok && coded.code == exitNotFound || isUsage(err)
}
