package auth

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
)

// maxClaim bounds a claim that is shown, in bytes.
const maxClaim = 254

// principal makes of a token's claims whom it is for. It returns ErrNoAccess when
// they name no organisation, or nothing that means a right here.
func (i *issuer) principal(subject string, claims map[string]any) (Principal, error) {
	orgs := []string{i.Org}
	if i.OrgClaim != "" {
		orgs = words(claim(claims, i.OrgClaim), false)
	}
	rights, access := i.rights(claims)
	subject = cmp.Or(subject, shown(claims["client_id"]), shown(claims["azp"]))
	if len(orgs) == 0 || !access || subject == "" {
		return Principal{}, ErrNoAccess
	}
	subject = cmp.Or(shown(subject), digest(subject))
	return Principal{
		Org: orgs[0], Orgs: orgs, Rights: rights,
		Email:       cmp.Or(shown(claim(claims, i.EmailClaim)), subject),
		DisplayName: cmp.Or(shown(claim(claims, i.NameClaim)), subject),
		Key:         "oidc " + i.URL + " " + subject,
	}, nil
}

// rights returns what the token may do, and whether it says anything that means
// something here.
func (i *issuer) rights(claims map[string]any) (rights Rights, access bool) {
	for _, word := range words(claim(claims, i.RightsClaim), true) {
		given, known := i.Rights[word]
		access = access || known
		rights = append(rights, given...)
	}
	slices.Sort(rights)
	return slices.Compact(rights), access
}

// claim returns a claim by its name, or by a path of names with dots between them.
func claim(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, nested := strings.Cut(name, ".")
	if inner, ok := claims[first].(map[string]any); ok && nested {
		return claim(inner, rest)
	}
	return nil
}

// words returns the texts in a claim that is a list or a text, which has several
// when it is split at blanks, like the claim scope (RFC 8693, section 4.2).
func words(v any, split bool) (texts []string) {
	switch v := v.(type) {
	case string:
		if split {
			return strings.Fields(v)
		}
		if v != "" {
			texts = append(texts, v)
		}
	case []any:
		for _, member := range v {
			if text, ok := member.(string); ok && text != "" {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// shown returns a claim that can be shown in a line, "" for any other.
func shown(v any) string {
	text, ok := v.(string)
	if !ok || len(text) > maxClaim || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return text
}

// digest stands for a subject that cannot be shown: what it does is somebody's doing all
// the same.
func digest(subject string) string {
	h := sha256.Sum256([]byte(subject))
	return "sha256:" + hex.EncodeToString(h[:])
}
