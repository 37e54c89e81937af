package provider

import "strings"

// String returns the character itself.
func (s Separator) String() string {
	switch s {
	case SeparatorComma:
		return ","
	case SeparatorPlus:
		return "+"
	default:
		return " "
	}
}

// Join writes scopes as the provider wants them.
func (s Separator) Join(scopes []string) string { return strings.Join(scopes, s.String()) }

// split reads granted scopes. Providers that are asked with commas answer with
// spaces and the other way round, and no scope has either in it.
func (s Separator) split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == ',' || r == '+' && s == SeparatorPlus
	})
}
