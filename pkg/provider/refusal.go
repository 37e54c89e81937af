package provider

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// RefusedError is a refusal of a token or authorization endpoint, in words that
// are ours: of what the provider said it shows only a code that a rule has.
type RefusedError struct {
	Meaning Meaning
	Code    string // as in the rule; empty when no rule knows it
	Hint    string // a sentence for people; may be empty
}

func (e *RefusedError) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the provider refused the request (%s)", e.Meaning)
	}
	return fmt.Sprintf("the provider refused the request: %s (%s)", e.Code, e.Meaning)
}

// registered is what error codes mean whatever the provider: those of RFC 6749
// sections 4.1.2.1 and 5.2, RFC 8628 section 3.5 and OpenID Connect Core section
// 3.1.2.6.
func registered() []ErrorRule {
	return []ErrorRule{
		{Value: "invalid_grant", Meaning: NeedsHuman, Hint: "The grant has ended or was revoked: authorize again."},
		{Value: "access_denied", Meaning: NeedsHuman, Hint: "Consent was refused: authorize again."},
		{Value: "login_required", Meaning: NeedsHuman},
		{Value: "consent_required", Meaning: NeedsHuman},
		{Value: "interaction_required", Meaning: NeedsHuman},
		{Value: "account_selection_required", Meaning: NeedsHuman},
		{Value: "invalid_client", Meaning: NeedsConfig, Hint: "Check client id and client secret of the app, and whether its secret has expired."},
		{Value: "unauthorized_client", Meaning: NeedsConfig, Hint: "The app is not permitted this grant."},
		{Value: "invalid_scope", Meaning: NeedsConfig, Hint: "Check the scopes against what the app was approved for."},
		{Value: "invalid_request", Meaning: NeedsConfig, Hint: "Check the endpoints and parameters of the provider."},
		{Value: "unsupported_grant_type", Meaning: NeedsConfig},
		{Value: "unsupported_response_type", Meaning: NeedsConfig},
		{Value: "server_error", Meaning: Retry},
		{Value: "temporarily_unavailable", Meaning: Retry},
		{Value: "slow_down", Meaning: Wait},
	}
}

// RefusedCallback says what the error of a redirect back to us means.
func (d Descriptor) RefusedCallback(code string) *RefusedError {
	return d.judge(map[string]any{"error": code})
}

// Refused says what a body means that came with a status other than success; nil
// when it is no refusal of the provider's: a firewall's page, an empty answer.
func (d Descriptor) Refused(contentType string, body []byte) *RefusedError {
	answer, err := parseAnswer(contentType, body)
	if err != nil {
		return nil
	}
	if refused := d.judge(answer); refused.Code != "" || isError(answer["error"]) {
		return refused
	}
	return nil
}

// judge applies the descriptor's rules, then the registered ones.
func (d Descriptor) judge(answer map[string]any) *RefusedError {
	for _, r := range slices.Concat(d.Errors, registered()) {
		if v, ok := at(answer, cmp.Or(r.Field, "error")); ok && matches(v, r.Value) {
			return &RefusedError{r.Meaning, r.Value, r.Hint}
		}
	}
	return &RefusedError{Meaning: Unknown}
}

// matches reports whether v is value, or a list that has it.
func matches(v any, value string) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(item any) bool { return matches(item, value) })
	}
	text, ok := scalar(v)
	return ok && text == value
}

// isError reports whether a member "error" says that there is one. Some
// providers send it with every answer and leave it empty, or zero.
func isError(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != "" && v != "0"
	case json.Number:
		return v != "0"
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	default:
		return true
	}
}
