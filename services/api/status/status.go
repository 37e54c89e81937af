package status

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// statusOf is what is shown of a secret. It depends on the record alone and not on the
// time, so it needs no other writing when time passes; and it says nothing of credentials,
// nor of who did what.
func statusOf(s *secret.Secret, revision state.Revision) *events.Status {
	st := &events.Status{
		Secret: s.ID, Org: s.Org, Property: s.Property, Environment: s.Environment, Name: s.Name, Kind: string(s.Kind),
		Status: string(s.Status), RefreshStatus: string(s.RefreshStatus),
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, ActivatedAt: s.ActivatedAt, ExpiresAt: s.ExpiresAt, RefreshAt: s.RefreshAt,
		NextAttemptAt: s.NextAttempt(time.Time{}), ElsewhereSince: s.Elsewhere,
		Failure: failureOf(s), Generation: s.Generation, Revision: uint64(revision),
	}
	if a := s.Authorization; a != nil {
		st.ReauthorizeBy, st.AuthorizationRequired = a.ReauthorizeBy, a.Required
	}
	for _, w := range s.Warnings {
		st.Warnings = append(st.Warnings, events.Warning{Code: events.WarningCode(w.Code), Detail: w.Detail})
	}
	return st
}

// failureOf is why the last exchange failed, nil when it did not.
func failureOf(s *secret.Secret) *events.Failure {
	f := s.LastFailure()
	if f == nil {
		return nil
	}
	reason := events.Reason(f.Reason)
	return &events.Failure{Reason: reason, Verdict: reason.Verdict(), Detail: f.Detail, At: f.At}
}

// format is the version of what [statusOf] makes of a record. Raise it with every change of
// that: a status of an earlier format is written anew, one of a later is left alone while
// two versions of the program run.
const format = 1

// stamp tells what a status was made of.
func stamp(revision state.Revision) string { return fmt.Sprintf("%d.%d", revision, format) }

// foreign stands for the stamp of whatever has none that can be read: no record of a secret
// is the first of the state.
const foreign = 1

// stampOf reads a stamp: the revision that the status is as good as, 0 for no status.
func stampOf(text []byte) state.Revision {
	if text == nil {
		return 0
	}
	number, version, _ := bytes.Cut(text, []byte("."))
	revision, err := strconv.ParseUint(string(number), 10, 64)
	v, err2 := strconv.ParseUint(string(version), 10, 32)
	switch {
	case err != nil || err2 != nil || revision <= foreign:
		return foreign
	case v < format:
		return state.Revision(revision - 1)
	default:
		return state.Revision(revision)
	}
}
