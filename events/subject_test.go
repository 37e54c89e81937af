package events_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/internal/subject"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		events.EventSubject("ORG@TestOrg", events.TypeSecretCreated, "SE1"): "rekindle.v1.event.ORG=40TestOrg.SecretCreated.SE1",
		events.EventSubject("", events.TypeExchangeFailed, "SE1"):           "rekindle.v1.event.=.ExchangeFailed.SE1",
		events.EventSubject("", events.TypeRegistrationExpiring, "a.b"):     "rekindle.v1.event.=.RegistrationExpiring.a=2Eb",
		events.SubjectsIn("ORG@TestOrg", "", "SE1"):                         "rekindle.v1.event.ORG=40TestOrg.*.SE1",
		events.SubjectsIn("*", "", ">"):                                     "rekindle.v1.event.=2A.*.=3E",
		events.SubjectsIn("o@x", "", ""):                                    "rekindle.v1.event.o=40x.*.*",
		events.SubjectsIn("o", events.TypeRetryRequested, ""):               "rekindle.v1.event.o.RetryRequested.*",
		events.SubjectsIn("", events.TypeRegistrationExpiring, ""):          "rekindle.v1.event.=.RegistrationExpiring.*",
		events.JobSubject("SE1"):                                            "rekindle.v1.job.SE1",
		events.JobSubject("SE1.>"):                                          "rekindle.v1.job.SE1=2E=3E",
		events.ParkedSubject("job", "SE1"):                                  "rekindle.v1.parked.job.SE1",
		events.ParkedSubject("a.b", "*"):                                    "rekindle.v1.parked.a=2Eb.=2A",
		events.ParkedSubject("job", ""):                                     "rekindle.v1.parked.job.=",
		events.AllEvents:                                                    "rekindle.v1.event.>",
		events.AllJobs:                                                      "rekindle.v1.job.*",
		events.AllParked:                                                    "rekindle.v1.parked.>",
	} {
		if got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

// The package comment promises a grammar; the functions keep it.
func TestSubjectsAsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	answer := events.NewAnswerSubject()
	random := answer[strings.LastIndexByte(answer, '.')+1:]
	fill := strings.NewReplacer("<org>", "acme", "<type>", string(events.TypeSecretCreated), "<about>", secretID,
		"<secret>", secretID, "<lane>", "job", "<random>", random)
	var documented []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(rekindle\S+)`).FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, fill.Replace(line[1]))
	}
	want := []string{
		events.EventSubject("acme", events.TypeSecretCreated, secretID), events.JobSubject(secretID), answer, events.ParkedSubject("job", secretID),
		events.AuditSubject("acme"), events.KeysetSubject,
	}
	if !slices.Equal(documented, want) {
		t.Errorf("doc.go says %q, want %q", documented, want)
	}
	for _, subject := range want {
		if !strings.HasPrefix(subject, events.Root+".") {
			t.Errorf("%s is not under %s", subject, events.Root)
		}
	}
	for _, quoted := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(string(doc), -1) {
		if _, ok := samples()[quoted[1]]; !ok {
			t.Errorf("doc.go names the event %s, which is none", quoted[1])
		}
	}
}

// An answer goes where it was made up to go, and to no other subject.
func TestAnswerSubject(t *testing.T) {
	t.Parallel()
	a, b := events.NewAnswerSubject(), events.NewAnswerSubject()
	if a == b || !events.IsAnswerSubject(a) || !events.IsAnswerSubject(b) {
		t.Errorf("made up %q and %q", a, b)
	}
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for subject, want := range map[string]bool{
		"rekindle.v1.answer." + token:                     true,
		"rekindle.v1.answer." + token + "-_09az":          true,
		"rekindle.v1.answer." + strings.Repeat("a", 64):   true,
		"rekindle.v1.answer." + strings.Repeat("a", 65):   false,
		"rekindle.v1.answer." + token[1:]:                 false,
		"rekindle.v1.answer.":                             false,
		"":                                                false,
		token:                                             false,
		"rekindle.v1.answer." + token + ".x":              false,
		"rekindle.v1.answer." + token + "*":               false,
		"rekindle.v1.answer.*" + token:                    false,
		"rekindle.v1.answer." + token + ">":               false,
		"rekindle.v1.answer." + token + " 0":              false,
		"rekindle.v1.answer." + token + "\r\nPUB x 0\r\n": false,
		"rekindle.v1.answer." + token + "\x00":            false,
		"rekindle.v1.answer." + token + "é":               false,
		"rekindle.v1.answer." + token + "\u0141":          false, // its last byte is a letter
		"rekindle.v1.answer." + token + "\xff":            false,
		"rekindle.v1.job." + token:                        false,
		" rekindle.v1.answer." + token:                    false,
		"$JS.API.STREAM.DELETE.KV_state":                  false,
		"$KV.state.secret." + token:                       false,
	} {
		if got := events.IsAnswerSubject(subject); got != want {
			t.Errorf("%q is where an answer goes: %v, want %v", subject, got, want)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "=", "=": "=3D", "==": "=3D=3D", "a-Z_0": "a-Z_0", ".": "=2E", "*": "=2A", ">": "=3E", " ": "=20",
		"a.b": "a=2Eb", "é": "=C3=A9", "\x00\xff": "=00=FF", "=2E": "=3D2E", secretID: secretID,
	} {
		if got := events.Token(text); got != want {
			t.Errorf("Token(%q) = %q, want %q", text, got, want)
		}
	}
}

// FuzzToken: a token is one part of a subject and can be turned back into its
// text, so no two texts share one.
func FuzzToken(f *testing.F) {
	for _, text := range []string{"", "=", "a.b", "*", ">", "é", "=2E", "\x00\xff", "a b\tc\r\n", secretID} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token := events.Token(text)
		if !regexp.MustCompile(`^[A-Za-z0-9=_-]+$`).MatchString(token) {
			t.Fatalf("Token(%q) = %q", text, token)
		}
		if back, ok := subject.Untoken(token); !ok || back != text {
			t.Fatalf("Token(%q) = %q, which stands for %q", text, token, back)
		}
	})
}

// TestClosedSets reads the constants from the source, so that none is added
// without being listed: a reason in Reasons, a type among the samples.
func TestClosedSets(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, r := range events.Reasons() {
		listed = append(listed, string(r))
	}
	declared := constants(t, "reason.go", "Reason")
	if !slices.Equal(listed, declared) {
		t.Errorf("Reasons lists %q, declared are %q", listed, declared)
	}
	for _, r := range declared {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(r) {
			t.Errorf("reason %q", r)
		}
	}
	about := map[events.Type]string{
		events.TypeRegistrationExpiring: "google", events.TypeAccepted: upstreamID, events.TypeRejected: upstreamID,
	}
	types := constants(t, "types.go", "Type")
	if all := append(events.EventTypes(), events.JobTypes()...); !slices.EqualFunc(types, all, func(s string, t events.Type) bool { return s == string(t) }) {
		t.Errorf("listed are the types %q, declared are %q", all, types)
	}
	for _, name := range types {
		e, ok := samples()[name]
		if !ok || string(e.Data.Type()) != name || e.Data.About() != cmp.Or(about[events.Type(name)], secretID) {
			t.Errorf("no sample of type %s", name)
		}
	}
}

// constants returns the values of the file's string constants of a type.
func constants(t *testing.T, file, of string) (values []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == of {
			literal, ok := spec.Values[0].(*ast.BasicLit)
			value, err := strconv.Unquote(literal.Value)
			if !ok || err != nil {
				t.Errorf("%s: constant %s is no literal", file, spec.Names[0])
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s declares no %s", file, of)
	}
	return values
}
