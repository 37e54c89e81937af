package exchanger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// An open claim needs no value of the outcome before: it has been deployed. All else
// of it stays.
func TestClaimDropsSpentValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.create(secret.OAuth2)
	w.run(w.exchanger(), w.job(s.ID))
	want := w.grant(s.ID).Outcome
	if len(want.Sealed) == 0 {
		t.Fatal("the outcome of an exchange has no value")
	}
	want.Sealed = nil
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	h := w.hold(s)
	if diff := cmp.Diff(want, w.grant(s.ID).Outcome); diff != "" {
		t.Errorf("outcome under the next claim (-want +got):\n%s", diff)
	}
	if err := h.release(); err != nil {
		t.Fatal(err)
	}
	w.checkRest(s.ID)
}

// An outcome whose value is spent puts nothing into the environment: a power failure
// may leave the record as it was before, beside a grant that has gone on.
func TestSpentValueIsNotDeployed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x, s := w.exchanger(), w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	if err := x.vault.Withdraw(t.Context(), s.Environment, s.ID); err != nil {
		t.Fatal(err)
	}
	c := &claim{x: x, secret: s, grant: &secret.Grant{Outcome: spent(w.grant(s.ID).Outcome)}}
	if err := c.deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := w.artifacts(s.ID); len(found) != 0 {
		t.Errorf("deployed: %s", show(found))
	}
}
