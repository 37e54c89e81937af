package secret_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
)

func TestCredential(t *testing.T) {
	t.Parallel()
	v := secret.Vault{State: statetest.New()}
	if c, err := v.Credential(t.Context(), secretID); !errors.Is(err, state.ErrNotFound) || c != nil {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
}

func TestGrant(t *testing.T) {
	t.Parallel()
	v := secret.Vault{State: statetest.New()}
	g, none, err := v.Grant(t.Context(), secretID)
	if err != nil || none != 0 || *g != (secret.Grant{}) {
		t.Fatalf("before any exchange: revision %d, error %v", none, err)
	}
	first, err := v.PutGrant(t.Context(), secretID, &secret.Grant{Claim: fullGrant().Claim}, none)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.PutGrant(t.Context(), secretID, fullGrant(), first)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever comes late with an old revision is refused.
	for _, late := range []state.Revision{none, first} {
		if _, err := v.PutGrant(t.Context(), secretID, new(secret.Grant), late); !errors.Is(err, state.ErrConflict) {
			t.Errorf("revision %d: got error %v, want ErrConflict", late, err)
		}
	}
	got, rev, err := v.Grant(t.Context(), secretID)
	if diff := cmp.Diff(fullGrant(), got); err != nil || rev != second || diff != "" {
		t.Errorf("revision %d, want %d, error %v (-stored +read):\n%s", rev, second, err, diff)
	}
}

// One of many exchangers gets the claim.
func TestGrantRace(t *testing.T) {
	t.Parallel()
	v := secret.Vault{State: statetest.New()}
	var group sync.WaitGroup
	var mu sync.Mutex
	var won []int
	for i := range 16 {
		group.Go(func() {
			_, err := v.PutGrant(t.Context(), secretID, &secret.Grant{Claim: &secret.Claim{Decision: 1, Holder: fmt.Sprint(i)}}, 0)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, i)
			} else if !errors.Is(err, state.ErrConflict) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	g, _, err := v.Grant(t.Context(), secretID)
	if err != nil || len(won) != 1 || g.Claim.Holder != fmt.Sprint(won[0]) {
		t.Errorf("claimed by %v, held by %s, error %v", won, g.Claim.Holder, err)
	}
}

func artifact(environment string, generation uint64) *secret.Artifact {
	return &secret.Artifact{Secret: secretID, Environment: environment, Generation: generation, Sealed: fmt.Append(nil, generation)}
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	v := secret.Vault{State: st}
	for _, step := range []struct {
		environment string
		generation  uint64
		want        string
	}{
		{env, 3, "3"}, {env, 3, "3"}, {env, 2, "3"}, {env, 4, "4"}, {otherEnv, 1, "1"}, {env, 9, "9"}, {env, 8, "9"},
	} {
		if _, err := v.Deploy(t.Context(), artifact(step.environment, step.generation), 0); err != nil {
			t.Fatal(err)
		}
		if got := deployed(t, st, step.environment); got != step.want {
			t.Errorf("after generation %d, %s holds %q, want %q", step.generation, step.environment, got, step.want)
		}
	}
	for range 2 { // the second time there is none
		if err := v.Withdraw(t.Context(), env, secretID); err != nil {
			t.Fatal(err)
		}
		wants(t, st, state.ArtifactKey(otherEnv, secretID))
	}
}

// Whoever knows the revision of what is there writes without reading it, and is not
// misled if it has passed.
func TestDeployKnown(t *testing.T) {
	t.Parallel()
	st := &hooked{Store: statetest.New()}
	v := secret.Vault{State: st}
	first, err := v.Deploy(t.Context(), artifact(env, 1), 0)
	if err != nil {
		t.Fatal(err)
	}
	st.got = 0
	second, err := v.Deploy(t.Context(), artifact(env, 2), first)
	if err != nil || st.got != 0 || deployed(t, st.Store, env) != "2" {
		t.Errorf("generation 2 over what is known: %d reads, error %v, %s is deployed", st.got, err, deployed(t, st.Store, env))
	}
	for generation, want := range map[uint64]string{1: "2", 2: "2"} { // late ones, and one that comes again
		rev, err := v.Deploy(t.Context(), artifact(env, generation), first)
		if err != nil || rev != second || deployed(t, st.Store, env) != want {
			t.Errorf("generation %d over what has passed: revision %d, want %d; error %v", generation, rev, second, err)
		}
	}
	if _, err := v.Deploy(t.Context(), artifact(env, 3), first); err != nil || deployed(t, st.Store, env) != "3" {
		t.Errorf("generation 3 over what has passed: error %v, %s is deployed", err, deployed(t, st.Store, env))
	}
	if err := v.Withdraw(t.Context(), env, secretID); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Deploy(t.Context(), artifact(env, 4), second); err != nil || deployed(t, st.Store, env) != "4" {
		t.Errorf("generation 4 over what was withdrawn: error %v, %s is deployed", err, deployed(t, st.Store, env))
	}
}

func deployed(t *testing.T, st state.Store, environment string) string {
	t.Helper()
	body, _, err := st.Get(t.Context(), state.ArtifactKey(environment, secretID))
	if err != nil {
		t.Fatal(err)
	}
	var a secret.Artifact
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	return string(a.Sealed)
}

// Late exchangers never put an older value over a newer one.
func TestDeployRace(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	var group sync.WaitGroup
	for g := range uint64(32) {
		group.Go(func() {
			if _, err := (secret.Vault{State: st}).Deploy(t.Context(), artifact(env, g+1), 0); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := deployed(t, st, env); got != "32" {
		t.Errorf("generation %s is deployed, want 32", got)
	}
}

// Another writer comes between reading and writing.
func TestDeployAndWithdrawTryAgain(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	generation := uint64(1)
	st := &hooked{Store: inner, commit: func(n int) {
		if n%2 == 1 {
			generation += 2
			if _, err := (secret.Vault{State: inner}).Deploy(t.Context(), artifact(env, generation), 0); err != nil {
				t.Error(err)
			}
		}
	}}
	v := secret.Vault{State: st}
	if _, err := v.Deploy(t.Context(), artifact(env, 2), 0); err != nil || deployed(t, inner, env) != "3" {
		t.Errorf("generation 2 over 3: error %v, %s is deployed", err, deployed(t, inner, env))
	}
	st.commits = 0
	if _, err := v.Deploy(t.Context(), artifact(env, 9), 0); err != nil || deployed(t, inner, env) != "9" {
		t.Errorf("generation 9 over 5: error %v, %s is deployed", err, deployed(t, inner, env))
	}
	st.commits, generation = 0, 9
	if err := v.Withdraw(t.Context(), env, secretID); err != nil {
		t.Error(err)
	}
	wants(t, inner)
}

// erasable puts everything a secret can leave behind into st.
func erasable(t *testing.T, st state.Store) *secret.Secret {
	t.Helper()
	s := newSecret("a")
	s.ID, s.Deployed = secretID, otherEnv
	create(t, st, s)
	v := secret.Vault{State: st}
	g := fullGrant()
	g.Outcome.Environment = "EN3"
	_, err := v.PutGrant(t.Context(), s.ID, g, 0)
	for _, en := range []string{env, otherEnv, "EN3"} {
		_, e := v.Deploy(t.Context(), artifact(en, 1), 0)
		err = errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	deleteSecret(t, st, s.ID)
	s, _, err = secret.Store{State: st}.Get(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErase(t *testing.T) {
	t.Parallel()
	st := statetest.NewFaulty(statetest.New())
	s := erasable(t, st)
	before := len(st.Commits())
	bystander := newSecret("a")
	create(t, st, bystander)
	before++
	if err := (secret.Vault{State: st}).Erase(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	wants(t, st, remains(bystander)...)

	got := slices.Concat(st.Commits()[before:]...)
	slices.Sort(got[:3])
	want := []string{
		state.ArtifactKey("EN3", s.ID), state.ArtifactKey(env, s.ID), state.ArtifactKey(otherEnv, s.ID),
		state.GrantKey(s.ID), state.CredentialKey(s.ID), state.SecretKey(s.ID),
	}
	slices.Sort(want[:3])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of erasing (-want +got):\n%s", diff)
	}

	if err := (secret.Vault{State: st}).Erase(t.Context(), s); err != nil {
		t.Errorf("erasing again: %v", err)
	}
	if err := (secret.Vault{State: st}).Erase(t.Context(), bystander); err == nil {
		t.Error("a living secret was erased")
	}
	wants(t, st, remains(bystander)...)
}

// TestEraseInterrupted ends the program at every commit of an erasure, before
// and after it took effect. The secret's own record is there until the end, so
// that the erasure is planned again; and the second run finishes it.
func TestEraseInterrupted(t *testing.T) {
	t.Parallel()
	const commits = 6
	for n := 1; n <= commits; n++ {
		for _, when := range []statetest.When{statetest.Before, statetest.After} {
			t.Run(fmt.Sprintf("%s commit %d", when, n), func(t *testing.T) {
				t.Parallel()
				inner := statetest.New()
				s := erasable(t, inner)
				st := statetest.NewFaulty(inner)
				st.Crash(n, when)
				if err := (secret.Vault{State: st}).Erase(t.Context(), s); !errors.Is(err, statetest.ErrFault) {
					t.Fatalf("got error %v, want ErrFault", err)
				}
				left, _, err := secret.Store{State: inner}.Get(t.Context(), s.ID)
				if n == commits && when == statetest.After {
					wants(t, inner)
					return
				}
				if err != nil || left.Plan().Action != secret.Erase {
					t.Fatalf("the record is lost: %v", err)
				}
				if err := (secret.Vault{State: inner}).Erase(t.Context(), left); err != nil {
					t.Fatal(err)
				}
				wants(t, inner)
			})
		}
	}
}

// Removing gives up with its context, whoever else is writing.
func TestVaultEnds(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	generation := uint64(100)
	ctx, cancel := context.WithCancel(t.Context())
	st := &hooked{Store: inner, commit: func(n int) {
		generation++
		if _, err := (secret.Vault{State: inner}).Deploy(t.Context(), artifact(env, generation), 0); err != nil {
			t.Error(err)
		}
		if n == 3 {
			cancel()
		}
	}}
	if _, err := (secret.Vault{State: inner}).Deploy(t.Context(), artifact(env, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := (secret.Vault{State: st}).Withdraw(ctx, env, secretID); !errors.Is(err, context.Canceled) {
		t.Errorf("withdraw: got error %v, want context.Canceled", err)
	}
	if _, err := (secret.Vault{State: st}).Deploy(ctx, artifact(env, 1000), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("deploy: got error %v, want context.Canceled", err)
	}
}
