package secret_test

import (
	"regexp"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// TestNewIDs checks the forms of contract A2 and RFC 9562 on enough ids that a
// forgotten version or variant bit shows.
func TestNewIDs(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`^(SE|PR|EN|CO|HT|AT|EX|DE|LB|BL)[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	request := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := make(map[string]bool)
	for range 200 {
		for _, p := range []secret.Prefix{
			secret.PrefixSecret, secret.PrefixProperty, secret.PrefixEnvironment, secret.PrefixCompany, secret.PrefixHost, secret.PrefixToken,
			secret.PrefixExtension, secret.PrefixDataElement, secret.PrefixLibrary, secret.PrefixBuild,
		} {
			got := secret.NewID(p)
			if !id.MatchString(got) || !secret.ValidID(p, got) || got[:2] != string(p) || seen[got] {
				t.Fatalf("id %q of prefix %s", got, p)
			}
			seen[got] = true
		}
		if got := secret.NewUUID(); !uuid.MatchString(got) || seen[got] {
			t.Fatalf("UUID %q", got)
		}
		if got := secret.NewRequestID(); !request.MatchString(got) || seen[got] {
			t.Fatalf("request id %q", got)
		}
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	const hex = "0123456789abcdef4123456789abcdef"
	for id, want := range map[string]bool{
		"SE" + hex:                            true,
		"SE00000000000000000000000000000000":  true, // form only
		"PR" + hex:                            false,
		"se" + hex:                            false,
		hex:                                   false,
		"SE" + hex[1:]:                        false,
		"SE" + hex + "0":                      false,
		"SE" + hex[1:] + "A":                  false,
		"SE" + hex[1:] + "g":                  false,
		"SE" + hex[1:] + ".":                  false,
		"SE" + hex[1:] + "*":                  false,
		"SE" + hex[1:] + ">":                  false,
		"SE" + hex[2:] + "ä":                  false,
		"SE" + hex[1:] + "\n":                 false,
		"":                                    false,
		"SE":                                  false,
		"SE../../../../../../../etc/passwd..": false,
	} {
		if got := secret.ValidID(secret.PrefixSecret, id); got != want {
			t.Errorf("ValidID(%q) = %v, want %v", id, got, want)
		}
	}
}
