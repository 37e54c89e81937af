package provider

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

const page = "../../docs/providers.md"

var table = regexp.MustCompile(`(?m)^\| name \|.*\n(?:\|.*\n)+`)

// TestProvidersPage holds the table of the page to the descriptors.
func TestProvidersPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(table.FindAll(text, -1)); n != 1 {
		t.Fatalf("%s has %d tables of providers", page, n)
	}
	golden(t, page, table.ReplaceAllLiteral(text, []byte(rows())))
}

func rows() string {
	var out strings.Builder
	out.WriteString("| name | provider | refresh token | grace | it lives | a person has to act |\n|---|---|---|---|---|---|\n")
	set := Defaults()
	for _, name := range set.Names() {
		d, _ := set.Get(name)
		mark := ""
		if strings.Contains(strings.ToLower(d.Notes), "unverified") {
			mark = " ?"
		}
		fmt.Fprintf(&out, "| `%s`%s | %s | %s | %s | %s | %s |\n", name, mark, d.Label, rotation(d.Refresh), grace(d.Refresh), life(d.Refresh), act(d))
	}
	return out.String()
}

func rotation(r Refresh) string {
	text := "kept"
	if r.Rotates {
		text = "replaced"
	}
	switch r.Issued {
	case IssuedNever:
		return "none"
	case IssuedSometimes:
		return text + ", some apps"
	default:
		return text
	}
}

func grace(r Refresh) string {
	switch {
	case !r.Rotates:
		return ""
	case r.Grace == 0:
		return "none"
	case r.GraceGenerations == 1:
		return spaced(r.Grace) + ", the one before"
	default:
		return spaced(r.Grace)
	}
}

func life(r Refresh) string {
	switch {
	case r.Life == 0:
		return ""
	case r.Slides:
		return spaced(r.Life) + " unused"
	default:
		return spaced(r.Life)
	}
}

func act(d Descriptor) string {
	switch after := d.Consent.ReauthorizeAfter; {
	case after == 5*365*day:
		return "5 years after consent"
	case after > 0:
		return spaced(after) + " after consent"
	case d.Refresh.Issued == IssuedNever:
		return "before the access token ends"
	default:
		return ""
	}
}

// spaced writes a duration of one unit as people read it.
func spaced(d time.Duration) string {
	return regexp.MustCompile(`[a-z]`).ReplaceAllString(people(d), " $0")
}
