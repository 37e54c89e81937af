package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// given is a consent with a code; more is pairs of further parameters.
func given(state, code string, more ...string) api.Consent {
	c := api.Consent{State: state, Code: seal.NewPlaintext(code), Params: map[string]string{}}
	for i := 0; i < len(more); i += 2 {
		c.Params[more[i]] = more[i+1]
	}
	return c
}

// answered is what a call of Consent returned.
type answered struct {
	verdict api.Verdict
	err     error
}

// consent calls Consent, and lets exchange happen once the code waits.
func (w *consentWorld) consent(t *testing.T, id string, c api.Consent, exchange func(*secret.Secret, *secret.Outcome)) api.Verdict {
	t.Helper()
	done := make(chan answered, 1)
	go func() {
		v, err := w.Service.Consent(t.Context(), c)
		done <- answered{v, err}
	}()
	apitest.Watch(t, w.State, state.SecretKey(id), func(records map[string][]byte) bool {
		var s secret.Secret
		return json.Unmarshal(records[state.SecretKey(id)], &s) == nil && s.Plan().Action == secret.Authorize
	})
	w.exchange(t, id, exchange)
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.verdict
}

// exchange ends the exchange of a code.
func (w *consentWorld) exchange(t *testing.T, id string, what func(*secret.Secret, *secret.Outcome)) {
	t.Helper()
	_, _, err := secret.Store{State: w.State}.Update(t.Context(), id, func(s *secret.Secret) error {
		o := &secret.Outcome{Decision: s.Decision, Action: secret.Authorize, At: w.clock.now(), Environment: s.Environment}
		what(s, o)
		s.Apply(o, w.clock.now())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func authorized(s *secret.Secret, o *secret.Outcome) {
	o.Authorized = &secret.Authorized{At: s.Authorization.ConsentedAt, Reminders: secret.DefaultReminders()}
	o.ExpiresAt, o.RefreshAt = secret.Dates(o.At, time.Hour, 30*time.Minute)
}

func heldApart(_ *secret.Secret, o *secret.Outcome) { o.Held = true }

func failed(_ *secret.Secret, o *secret.Outcome) {
	o.Failure = &secret.Failure{ID: secret.NewUUID(), Reason: string(events.ReasonProviderError), Detail: "it has failed", At: o.At}
}

func (w *consentWorld) google(t testing.TB) *api.Changed {
	t.Helper()
	return w.create(t, "oauth2-google", "ads", fmt.Sprintf(`{"scopes":[%q]}`, adwords))
}

// TestVerdicts: Consent says how the exchange ended, and what is shown agrees.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	step := func(name string, d *api.Dialog, exchange func(*secret.Secret, *secret.Outcome), failure, isHeld bool, status secret.Status) {
		t.Helper()
		v := w.consent(t, made.ID, given(stateOf(t, d), "code"), exchange)
		if !v.Known || v.Held != isHeld || (v.Failure != nil) != failure || v.Provider != "Google" || v.Secret.ID != made.ID {
			t.Errorf("%s: the verdict is known %t, held %t, failure %v, of %s", name, v.Known, v.Held, v.Failure, v.Provider)
		}
		shown, err := w.Service.Secret(t.Context(), apitest.Caller(), made.ID)
		if err != nil || shown.StatusAt(w.clock.now()) != status || v.Secret.Decision != shown.Decision {
			t.Errorf("%s: the secret shows as %s, want %s: %v", name, shown.StatusAt(w.clock.now()), status, err)
		}
		w.clock.move(time.Minute)
	}
	again := func() *api.Dialog {
		return must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize"))).Dialog
	}
	step("failed", made.Dialog, failed, true, false, secret.Failed)
	retried := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "retry")))
	if retried.Dialog == nil || retried.StatusAt(w.clock.now()) != secret.Pending || retried.Status != secret.Failed {
		t.Errorf("a retry without a grant shows %s, and a dialog: %t", retried.StatusAt(w.clock.now()), retried.Dialog != nil)
	}
	step("authorized", retried.Dialog, authorized, false, false, secret.Succeeded)
	step("failed again", again(), failed, true, false, secret.Succeeded)
	step("held", again(), heldApart, false, true, secret.Succeeded)
	step("held while failing", again(), failed, true, false, secret.Succeeded)
	step("authorized again", again(), authorized, false, false, secret.Succeeded)
	if a := w.stored(t, made.ID).Authorization; !a.HeldAt.IsZero() || a.Failure != nil {
		t.Errorf("held since %v, failure %v: a new grant ends both", a.HeldAt, a.Failure)
	}
}

// TestAVerdictThatDoesNotCome: who asked is told that it is not known yet.
func TestAVerdictThatDoesNotCome(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan answered, 1)
	go func() {
		v, err := w.Service.Consent(ctx, given(stateOf(t, made.Dialog), "code"))
		done <- answered{v, err}
	}()
	apitest.Watch(t, w.State, state.SecretKey(made.ID), func(records map[string][]byte) bool {
		return strings.Contains(string(records[state.SecretKey(made.ID)]), "consented_at")
	})
	leave()
	if got := <-done; got.err != nil && !errors.Is(got.err, api.ErrUnavailable) || got.verdict.Known {
		t.Errorf("known %t: %v", got.verdict.Known, got.err)
	}
	if s := w.stored(t, made.ID); s.Plan().Action != secret.Authorize || s.StatusAt(w.clock.now()) != secret.Pending {
		t.Errorf("planned is %v, want the exchange of the code", s.Plan())
	}
	got := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "retry"))) // asks for nothing more
	if got.Decision != 1 || got.Dialog != nil || w.stored(t, made.ID).Decision != 1 {
		t.Errorf("a retry: decision %d", got.Decision)
	}
}

// TestStatesThatAreNone change nothing.
func TestStatesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	good := stateOf(t, made.Dialog)
	token := w.create(t, "token", "t", `{"token":"t"}`)
	deleted := w.create(t, "oauth2-acme", "gone", `{}`)
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), deleted.ID); err != nil {
		t.Fatal(err)
	}
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	forge := func(change func(raw []byte) []byte) string {
		return base64.RawURLEncoding.EncodeToString(change(append([]byte(nil), raw...)))
	}
	of := func(id string) string {
		other, _ := base64.RawURLEncoding.DecodeString(stateOf(t, w.create(t, "oauth2-acme", id, `{}`).Dialog))
		return forge(func(raw []byte) []byte { return append(other[:16:16], raw[16:]...) })
	}
	ofToken := forge(func(raw []byte) []byte {
		var id []byte
		fmt.Sscanf(token.ID[2:], "%x", &id)
		return append(id, raw[16:]...)
	})
	foreign := of("foreign")
	before := records(t, w.State)
	refuse := func(name, state string) {
		t.Helper()
		for _, c := range []api.Consent{given(state, "code"), {State: state, Error: "access_denied"}} {
			if v, err := w.Service.Consent(t.Context(), c); !errors.Is(err, api.ErrNoDialog) || v.Secret != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, state := range map[string]string{
		"empty": "", "short": good[:20], "long": good + "AAAA", "no base64": strings.Repeat("*", len(good)), "padded": good + "=",
		"another guess":  forge(func(raw []byte) []byte { raw[20] ^= 1; return raw }),
		"no version 4":   forge(func(raw []byte) []byte { raw[6] ^= 0x10; return raw }),
		"nobody's":       forge(func(raw []byte) []byte { raw[0] ^= 1; return raw }),
		"of another":     foreign,
		"of a token":     ofToken,
		"of one deleted": stateOf(t, deleted.Dialog),
	} {
		refuse(name, state)
	}
	w.clock.move(time.Hour)
	refuse("expired", good)
	if diff := cmp.Diff(before, records(t, w.State)); diff != "" {
		t.Errorf("the state has changed:\n%s", diff)
	}
	w.clock.move(-time.Millisecond)
	w.consent(t, made.ID, given(good, "code"), authorized)
	refuse("used", good)
}

// records returns what the state holds, but for what is only on its way to be told.
func records(t *testing.T, st state.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	apitest.Watch(t, st, ">", func(records map[string][]byte) bool {
		for key, body := range records {
			if !state.Passing(key) {
				all[key] = string(body)
			}
		}
		return true
	})
	return all
}

// TestOneCallbackWins of many for the same dialog, whichever process they come to.
func TestOneCallbackWins(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	second := w.another(t, w.State)
	doors := []*api.Service{w.Service, second.Service}
	made := w.google(t)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	won := make(chan int, 16)
	all := make(chan []error)
	go func() {
		all <- together(16, func(i int) error {
			_, err := doors[i%2].Consent(ctx, given(stateOf(t, made.Dialog), fmt.Sprint("code ", i)))
			if err == nil {
				won <- i
			}
			return err
		})
	}()
	apitest.Watch(t, w.State, state.SecretKey(made.ID), func(records map[string][]byte) bool {
		return strings.Contains(string(records[state.SecretKey(made.ID)]), "consented_at")
	})
	w.exchange(t, made.ID, authorized)
	none := 0
	for _, err := range <-all {
		if errors.Is(err, api.ErrNoDialog) {
			none++
		}
	}
	if none != 15 || len(won) != 1 {
		t.Fatalf("%d of 16 found no dialog and %d won, want 15 and 1", none, len(won))
	}
	if got, want := w.code(t, made.ID, 1), fmt.Sprint("code ", <-won); got != want {
		t.Errorf("the code is %q, want %q", got, want)
	}
	if s := w.stored(t, made.ID); s.Decision != 2 {
		t.Errorf("decision %d, want one exchange", s.Decision)
	}
}

// code opens the code that waits.
func (w *consentWorld) code(t *testing.T, id string, dialog uint64) string {
	t.Helper()
	kept := w.dialogs(t, id)
	if kept.Answered == nil || kept.Answered.Number != dialog {
		t.Fatalf("the dialog that was answered is %+v, want number %d", kept.Answered, dialog)
	}
	for _, wrong := range []seal.Binding{
		{Secret: secret.NewID(secret.PrefixSecret), Field: secret.FieldCode, Generation: dialog},
		{Secret: id, Field: secret.FieldVerifier, Generation: dialog},
		{Secret: id, Field: secret.FieldCode, Generation: dialog + 1},
	} {
		if _, err := w.opener.Open(wrong, kept.Code); err == nil {
			t.Errorf("the code opens as %v", wrong)
		}
	}
	plain, err := w.opener.Open(seal.Binding{Secret: id, Field: secret.FieldCode, Generation: dialog}, kept.Code)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain.Reveal())
}

// TestOlderDialogs: an answer closes the dialogs before its own and no others.
func TestOlderDialogs(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	open := []*api.Dialog{made.Dialog}
	for range 3 {
		w.clock.move(time.Minute)
		open = append(open, must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize"))).Dialog)
	}
	w.consent(t, made.ID, given(stateOf(t, open[2]), "third"), authorized)
	for i, d := range open[:3] {
		if _, err := w.Service.Consent(t.Context(), given(stateOf(t, d), "late")); !errors.Is(err, api.ErrNoDialog) {
			t.Errorf("dialog %d: %v", i+1, err)
		}
	}
	if got := w.code(t, made.ID, 3); got != "third" {
		t.Errorf("the code is %q", got)
	}
	v, err := w.Service.Consent(t.Context(), api.Consent{State: stateOf(t, open[3]), Error: "access_denied"})
	if err != nil || v.Failure == nil {
		t.Errorf("the newer dialog: failure %v, %v", v.Failure, err)
	}
	if kept := w.dialogs(t, made.ID); len(kept.Open) != 0 {
		t.Errorf("%d dialogs are open", len(kept.Open))
	}
}

// TestRefusals: what a dialog without a consent does to a secret depends on
// whether there is a grant.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, reason := range map[string]events.Reason{
		"access_denied": events.ReasonConsentRefused, "": events.ReasonConsentRefused, "no such code": events.ReasonConsentRefused,
		"admin_policy_enforced": events.ReasonAdminPolicy, "unauthorized_client": events.ReasonAppRefused,
		"invalid_scope": events.ReasonAppRefused, "server_error": events.ReasonProviderError, "temporarily_unavailable": events.ReasonProviderError,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			made := w.google(t)
			refuse := func(d *api.Dialog) *secret.Secret {
				t.Helper()
				v, err := w.Service.Consent(t.Context(), api.Consent{State: stateOf(t, d), Error: code, Params: map[string]string{"error_description": "canary"}})
				if err != nil || !v.Known || v.Held || v.Failure == nil || v.Failure.Reason != string(reason) || v.Failure.Detail == "" {
					t.Fatalf("the verdict is %+v: %v", v.Failure, err)
				}
				s := w.stored(t, made.ID)
				if shown, err := w.Service.Secret(t.Context(), apitest.Caller(), made.ID); err != nil || shown.Authorization.Failure == nil {
					t.Errorf("the refusal is not shown at once: %v", err)
				}
				if s.Authorization.Failure == nil || s.Authorization.Failure.ID != v.Failure.ID || s.StatusAt(w.clock.now()) != s.Status {
					t.Errorf("the record has the failure %v and shows as %s", s.Authorization.Failure, s.StatusAt(w.clock.now()))
				}
				return s
			}
			if s := refuse(made.Dialog); s.Status != secret.Failed || s.StatusDetails == nil || s.Plan().Action != secret.Rest {
				t.Errorf("a new secret is %s, planned is %v", s.Status, s.Plan())
			}
			retried := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "retry")))
			w.consent(t, made.ID, given(stateOf(t, retried.Dialog), "code"), authorized)
			before := w.stored(t, made.ID)
			again := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize")))
			s := refuse(again.Dialog)
			s.Authorization.Failure, s.UpdatedAt, s.UpdatedBy = nil, before.UpdatedAt, before.UpdatedBy
			if diff := cmp.Diff(before, s); diff != "" {
				t.Errorf("a secret that works is another (-want +got):\n%s", diff)
			}
			w.checkRefused(t, made.ID, reason)
		})
	}
}

// checkRefused checks that both refusals were announced, and that the provider's
// words are nowhere.
func (w *consentWorld) checkRefused(t *testing.T, id string, reason events.Reason) {
	t.Helper()
	told := 0
	for _, e := range w.Events.Published() {
		if f, ok := e.Data.(events.ExchangeFailed); ok && f.Secret == id && f.Reason == reason && f.Action == string(secret.Authorize) {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d events tell of the refusal, want 2", told)
	}
	if strings.Contains(fmt.Sprint(records(t, w.State), w.Log.String()), "canary") {
		t.Error("the provider's words are kept")
	}
}

// TestASecondAnswerWaits: while a code is being exchanged, no other answer takes its
// place, and none is used up.
func TestASecondAnswerWaits(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	newer := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize")))
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Service.Consent(ctx, given(stateOf(t, made.Dialog), "code"))
	}()
	apitest.Watch(t, w.State, state.SecretKey(made.ID), func(records map[string][]byte) bool {
		return strings.Contains(string(records[state.SecretKey(made.ID)]), "consented_at")
	})
	for _, second := range []api.Consent{
		{State: stateOf(t, newer.Dialog), Error: "access_denied"}, given(stateOf(t, newer.Dialog), "another code"),
	} {
		if _, err := w.Service.Consent(t.Context(), second); !errors.Is(err, api.ErrNotReady) {
			t.Errorf("a second answer: %v, want ErrNotReady", err)
		}
	}
	if c := w.dialogs(t, made.ID); len(c.Open) != 1 {
		t.Errorf("%d dialogs are open, want the newer one: nothing is used up", len(c.Open))
	}
	leave()
	<-done
	if s := w.stored(t, made.ID); s.Plan().Action != secret.Authorize || w.code(t, made.ID, 1) != "code" {
		t.Errorf("planned is %v, want the exchange of the code", s.Plan())
	}
}

// TestCallbackParameters: of what else a redirect brings, that is kept which the
// provider's descriptor names.
func TestCallbackParameters(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.create(t, "oauth2-acme", "a", `{}`)
	w.consent(t, made.ID, given(stateOf(t, made.Dialog), "c", "account", "ada", "shard", "eu1", "iss", "https://acme.test", "scope", "all"), authorized)
	if diff := cmp.Diff(map[string]string{"account": "ada", "shard": "eu1", "iss": "https://acme.test"}, w.dialogs(t, made.ID).Callback); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	again := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-acme", "reauthorize")))
	w.consent(t, made.ID, given(stateOf(t, again.Dialog), "c", "shard", strings.Repeat("x", 2<<10+1)), authorized)
	if kept := w.dialogs(t, made.ID).Callback; kept != nil {
		t.Errorf("kept %v of another redirect, or more than can be", kept)
	}
}

// TestConsentsThatCannotBeStored: whoever sends the same consent again is helped,
// and a code is never taken twice.
func TestConsentsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	faulty := statetest.NewFaulty(statetest.New())
	w := consentWorldOver(t, faulty)
	made := w.google(t)
	c := given(stateOf(t, made.Dialog), "code")
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		faulty.FailCommit(len(faulty.Commits())+1, when)
		if _, err := w.Service.Consent(t.Context(), c); !errors.Is(err, api.ErrUnavailable) {
			t.Fatalf("%v: %v", when, err)
		}
		if waits := w.stored(t, made.ID).Plan().Action == secret.Authorize; waits != (when == statetest.After) {
			t.Errorf("%v: the code waits: %t", when, waits)
		}
	}
	if _, err := w.Service.Consent(t.Context(), c); !errors.Is(err, api.ErrNoDialog) || w.stored(t, made.ID).Decision != 1 {
		t.Errorf("the same again: %v", err)
	}
}

// TestFaultsOfOurOwn are not told as the state's: whoever is told that it did not
// answer tries again, and nothing is the better for it.
func TestFaultsOfOurOwn(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	before := w.stored(t, made.ID)
	c := given(stateOf(t, made.Dialog), strings.Repeat("c", seal.MaxPlaintext+1)) // which cannot be sealed
	_, unsealed := w.Service.Consent(t.Context(), c)
	broken := w.cfg.Apps["google"]
	broken.Provider.AuthorizeURL = "::"
	w.cfg.Apps = provider.Apps{"google": broken}
	w.Process = w.another(t, w.State)
	_, retried := w.change(t, made.ID, act("oauth2-google", "retry"))
	_, asked := w.change(t, made.ID, act("oauth2-google", "reauthorize"))
	_, updated := w.change(t, made.ID, `"attributes":{"type_of":"oauth2-google","name":"other"}`)
	for name, err := range map[string]error{"a consent": unsealed, "a retry": retried, "a dialog": asked, "an update": updated} {
		if err == nil || errors.Is(err, api.ErrUnavailable) || errors.Is(err, api.ErrNotReady) {
			t.Errorf("%s: %v, want a fault of our own", name, err)
		}
	}
	if diff := cmp.Diff(before, w.stored(t, made.ID)); diff != "" {
		t.Errorf("the secret has changed (-before +after):\n%s", diff)
	}
}

// TestAccept: only what is held can be accepted, and once.
func TestAccept(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	accept := func() error {
		_, err := w.change(t, made.ID, act("oauth2-google", "accept"))
		return err
	}
	for range 2 {
		if err := accept(); code(err) != api.InvalidAction {
			t.Errorf("nothing is held: %v", err)
		}
		if made.Dialog != nil {
			w.consent(t, made.ID, given(stateOf(t, made.Dialog), "code"), authorized)
			made.Dialog = nil
		}
	}
	again := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize")))
	w.consent(t, made.ID, given(stateOf(t, again.Dialog), "code"), heldApart)
	before := w.stored(t, made.ID)
	tally(t, together(4, func(int) error { return accept() }), "")
	if s := w.stored(t, made.ID); !s.Authorization.Accept || s.Decision != before.Decision+1 || s.Plan().Action != secret.Authorize {
		t.Errorf("decision %d after %d, planned is %v", s.Decision, before.Decision, s.Plan())
	}
	received := 0
	for _, e := range w.Events.Published() {
		if _, ok := e.Data.(events.ConsentReceived); ok {
			received++
		}
	}
	if received != 3 {
		t.Errorf("%d events tell of a consent, want one for each code and one for the acceptance", received)
	}
}

// TestAcceptTakesWhatWasSeen: a consent that has taken the place of the one that
// was seen is not accepted for it.
func TestAcceptTakesWhatWasSeen(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	held := w.clock.now().Truncate(time.Millisecond)
	_, _, err := secret.Store{State: w.State}.Update(t.Context(), made.ID, func(s *secret.Secret) error {
		s.Status = secret.Succeeded
		s.Authorization = &secret.Authorization{AuthorizedAt: held.Add(-time.Hour), HeldAt: held}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	accept := func(at time.Time) error {
		_, err := w.change(t, made.ID, fmt.Sprintf(
			`"attributes":{"type_of":"oauth2-google"},"meta":{"action":"accept","authorization_held_at":%q}`, at.Format(time.RFC3339Nano)))
		return err
	}
	var refused *api.RefusedError
	if err := accept(held.Add(-time.Second)); !errors.As(err, &refused) || refused.Problems[0].Code != api.Conflict {
		t.Errorf("another moment: %v, want a conflict", err)
	}
	if err := accept(held); err != nil || w.stored(t, made.ID).Plan().Action != secret.Authorize {
		t.Errorf("the moment that was seen: %v, planned is %v", err, w.stored(t, made.ID).Plan())
	}
	if err := accept(held); err != nil || w.stored(t, made.ID).Decision != 1 {
		t.Errorf("again: %v, decision %d", err, w.stored(t, made.ID).Decision)
	}
}

// TestAnUpdateOfNothing: a dialog that came with it is all that it leaves.
func TestAnUpdateOfNothing(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.google(t)
	before := w.stored(t, made.ID)
	w.clock.move(time.Minute)
	got := must[*api.Changed](t)(w.change(t, made.ID, `"attributes":{}`))
	if got.Dialog == nil || len(w.dialogs(t, made.ID).Open) != 2 {
		t.Error("there is no dialog, which contract A13 wants")
	}
	if diff := cmp.Diff(before, w.stored(t, made.ID)); diff != "" {
		t.Errorf("the record (-before +after):\n%s", diff)
	}
}
