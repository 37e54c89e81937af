package intake_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
)

func TestSubjects(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		intake.Subject("ORG@TestOrg", intake.TypeSecretCreated, "a/b"): "rekindle.v1.intake.ORG=40TestOrg.SecretCreated.a=2Fb",
		intake.Subject("*", intake.TypeSecretDeleted, ">"):             "rekindle.v1.intake.=2A.SecretDeleted.=3E",
		intake.SubjectsOf("ORG@TestOrg"):                               "rekindle.v1.intake.ORG=40TestOrg.*.*",
		intake.SubjectsOf(">"):                                         "rekindle.v1.intake.=3E.*.*",
		intake.RepliesTo("ORG@TestOrg"):                                "rekindle.v1.reply.ORG=40TestOrg.*",
		intake.AllIntake:                                               "rekindle.v1.intake.*.*.*",
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
	reply := intake.NewReplySubject("acme")
	random := reply[strings.LastIndexByte(reply, '.')+1:]
	fill := strings.NewReplacer("<org>", "acme", "<type>", string(intake.TypeSecretCreated), "<key>", "k", "<random>", random)
	var documented []string
	for _, line := range regexp.MustCompile(`(?m)^//\t(rekindle\S+)`).FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, fill.Replace(line[1]))
	}
	want := []string{intake.Subject("acme", intake.TypeSecretCreated, "k"), reply}
	if !slices.Equal(documented, want) {
		t.Errorf("doc.go says %q, want %q", documented, want)
	}
	for _, subject := range want {
		if !strings.HasPrefix(subject, events.Root+".") {
			t.Errorf("%s is not under %s", subject, events.Root)
		}
	}
}

// An answer goes where it was made up to go, and to no other organisation.
func TestReplySubject(t *testing.T) {
	t.Parallel()
	const token = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, org := range []string{"acme", "ORG@TestOrg", "*", ">", "a.b"} {
		a, b := intake.NewReplySubject(org), intake.NewReplySubject(org)
		if a == b || !intake.IsReplySubject(org, a) || !intake.IsReplySubject(org, b) || intake.IsReplySubject("another", a) {
			t.Errorf("made up %q and %q for %q", a, b, org)
		}
	}
	for subject, want := range map[string]bool{
		"rekindle.v1.reply.acme." + token:                     true,
		"rekindle.v1.reply.acme." + strings.Repeat("a", 64):   true,
		"rekindle.v1.reply.acme." + strings.Repeat("a", 65):   false,
		"rekindle.v1.reply.acme." + token[1:]:                 false,
		"rekindle.v1.reply.acme.":                             false,
		"rekindle.v1.reply.acme":                              false,
		"rekindle.v1.reply." + token:                          false,
		"rekindle.v1.reply.other." + token:                    false,
		"rekindle.v1.reply.acme." + token + ".x":              false,
		"rekindle.v1.reply.acme." + token + "*":               false,
		"rekindle.v1.reply.acme.>" + token:                    false,
		"rekindle.v1.reply.acme." + token + "\r\nPUB x 0\r\n": false,
		"rekindle.v1.answer." + token:                         false,
		"$KV.state.secret." + token:                           false,
		"":                                                    false,
	} {
		if got := intake.IsReplySubject("acme", subject); got != want {
			t.Errorf("%q is where an answer goes: %v, want %v", subject, got, want)
		}
	}
}
