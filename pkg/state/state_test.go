package state_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		state.SecretKey("SE1"):            "secret.SE1",
		state.CredentialKey("SE1"):        "credential.SE1",
		state.GrantKey("SE1"):             "grant.SE1",
		state.ArtifactKey("EN1", "SE1"):   "artifact.EN1.SE1",
		state.CompanyKey("CO1"):           "company.CO1",
		state.PropertyKey("PR1"):          "property.PR1",
		state.EnvironmentKey("EN1"):       "environment.EN1",
		state.SlotKey("PR1", "staging"):   "slot.PR1.staging",
		state.HostKey("HT1"):              "host.HT1",
		state.NotesKey("SE1"):             "notes.SE1",
		state.NoteKey("NT1"):              "note.NT1",
		state.DataElementKey("DE1"):       "element.DE1",
		state.LibraryKey("LB1"):           "library.LB1",
		state.HoldKey("EN1"):              "hold.EN1",
		state.BuildKey("BL1"):             "build.BL1",
		state.NameKey("PR1", "API key"):   "name.PR1.8584I83BCLSG",
		state.NameKey("PR1", "\x00.*>\n"): "name.PR1.00N2KFGA",
		state.KeysetKey:                   "keyset.fleet",
		state.EndpointKey("a.b:8443"):     "endpoint.C4N64EHO6GQ36",
	} {
		if got != want {
			t.Errorf("key %q, want %q", got, want)
		}
		if err := state.CheckKey(got); err != nil {
			t.Error(err)
		}
		if kind, rest := state.Split(got); kind+"."+rest != want {
			t.Errorf("%q was split into %q and %q", got, kind, rest)
		}
	}
}

// Different names never share a key, and every name that is not empty or too
// long makes one.
func TestNameKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		ka, kb := state.NameKey("PR1", a), state.NameKey("PR1", b)
		if (ka == kb) != (a == b) {
			t.Fatalf("%q has key %q, %q has key %q", a, ka, b, kb)
		}
		if err := state.CheckKey(ka); (err == nil) != (a != "") {
			t.Fatalf("%q has key %q: %v", a, ka, err)
		}
	})
	// 1,200 bytes of name: more than 255 letters of any script.
	if err := state.CheckKey(state.NameKey("PR"+strings.Repeat("0", 32), strings.Repeat("\U0001f600", 300))); err != nil {
		t.Error(err)
	}
}

// What is malformed is decided here, and tried on stores in statetest.
func TestChecks(t *testing.T) {
	t.Parallel()
	value := []byte("v")
	for name, err := range map[string]error{
		"no part":            state.CheckKey(""),
		"empty part":         state.CheckKey("a..b"),
		"wildcard":           state.CheckKey("a.*"),
		"long key":           state.CheckKey(strings.Repeat("a", state.MaxKey+1)),
		"no pattern":         state.CheckPatterns(nil),
		"> inside":           state.CheckPatterns([]string{"a", ">.a"}),
		"part of a part":     state.CheckPatterns([]string{"a.b*"}),
		"two places":         state.CheckPatterns([]string{"secret.*", "grant.*"}),
		"no write":           state.CheckWrites(nil),
		"many writes":        state.CheckWrites(make([]state.Write, state.MaxCommit+1)),
		"bad key":            state.CheckWrites([]state.Write{{Key: "a b", Value: value}}),
		"same key":           state.CheckWrites([]state.Write{{Key: "a", Value: value}, {Key: "a", Value: value}}),
		"blind removal":      state.CheckWrites([]state.Write{{Key: "a"}}),
		"empty value":        state.CheckWrites([]state.Write{{Key: "a", Value: []byte{}, Expect: 1}}),
		"large value":        state.CheckWrites([]state.Write{{Key: "a", Value: make([]byte, state.MaxValue+1)}}),
		"torn commit":        state.CheckWrites([]state.Write{{Key: state.GrantKey("a"), Value: value}, {Key: state.SecretKey("a"), Value: value}}),
		"second is at fault": state.CheckWrites([]state.Write{{Key: "a", Value: value}, {Key: "b"}}),
	} {
		if !errors.Is(err, state.ErrMalformed) {
			t.Errorf("%s: got error %v, want ErrMalformed", name, err)
		}
	}
	for name, err := range map[string]error{
		"key":      state.CheckKey("aZ09-_=.b"),
		"long key": state.CheckKey(strings.Repeat("a", state.MaxKey)),
		"patterns": state.CheckPatterns([]string{"*", "a.>", "b.*.c", "d", "e.*.>"}),
		"vault":    state.CheckPatterns([]string{"grant.*", "artifact.>"}),
		"commit":   state.CheckWrites([]state.Write{{Key: state.GrantKey("a"), Value: value}, {Key: state.ArtifactKey("b", "a"), Value: value}}),
		"writes":   state.CheckWrites([]state.Write{{Key: "a", Value: make([]byte, state.MaxValue)}, {Key: "b", Expect: 1}}),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
