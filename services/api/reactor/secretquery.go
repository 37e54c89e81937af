package reactor

import (
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// secretField is something that lists of secrets can be filtered and sorted by. It
// is no field, because these lists are long: see api.SecretQuery.
type secretField struct {
	order api.SecretAttribute
	// filter sets the condition that an expression makes, if it makes one.
	filter func(f *api.SecretFilter, expression string)
}

// secretFields are those of contract A4.
func secretFields() map[string]secretField {
	return map[string]secretField{
		"created_at":     {api.SecretCreatedAt, func(f *api.SecretFilter, e string) { f.CreatedAt = momentIs(e) }},
		"environment_id": {api.SecretEnvironment, func(f *api.SecretFilter, e string) { f.Environment = idIs(e) }},
		"name":           {api.SecretName, func(f *api.SecretFilter, e string) { f.Name = textIs[string](e) }},
		"status":         {api.SecretStatus, func(f *api.SecretFilter, e string) { f.Status = textIs[secret.Status](e) }},
		"type_of":        {api.SecretKind, func(f *api.SecretFilter, e string) { f.Kind = kindIs(e) }},
		"updated_at":     {api.SecretUpdatedAt, func(f *api.SecretFilter, e string) { f.UpdatedAt = momentIs(e) }},
	}
}

// secretQuery is fields.query for secrets.
func secretQuery(params url.Values, now time.Time) api.SecretQuery {
	q := api.SecretQuery{Now: now}
	q.Number, q.Size, _ = paged(params) //nolint:errcheck // what cannot be read is ignored (contract A4)
	known := secretFields()
	for name, field := range known {
		field.filter(&q.Filter, expression(params, name))
	}
	for _, s := range sorting(params, known) {
		q.Order = append(q.Order, api.SecretOrder{By: known[s.name].order, Descending: s.descending})
	}
	return q
}

// textIs returns the condition that an expression makes of a text that is never
// null, nil for none; so do those below, of other things.
func textIs[S ~string](e string) func(S) bool {
	holds, ok := parseText(e, nil)
	if !ok {
		return nil
	}
	return func(text S) bool { return holds(string(text), true) }
}

func idIs(e string) func(string) bool {
	holds, ok := parseText(e, nil)
	if !ok {
		return nil
	}
	return func(id string) bool { return holds(id, id != "") }
}

// momentIs is about Unix milliseconds: what else clients write of a moment is cut
// off, as it is in answers.
func momentIs(e string) func(int64) bool {
	holds, ok := parseCondition(e, func(operand string) (int64, bool) {
		if operand == null {
			return math.MaxInt64, true // as the text, it comes after all moments
		}
		t, err := time.Parse(time.RFC3339, operand)
		return t.UnixMilli(), err == nil
	})
	if !ok {
		return nil
	}
	return func(millis int64) bool { return holds(millis, millis != 0) }
}

// kindIs compares canonical names. CONTAINS looks in all names of a kind.
func kindIs(e string) func(secret.Kind) bool {
	if strings.HasPrefix(e, string(opContains)+" ") {
		inName := textIs[string](e)
		if inName == nil {
			return nil
		}
		return func(k secret.Kind) bool { return slices.ContainsFunc(namesOf(k), inName) }
	}
	holds, ok := parseText(e, func(k string) (string, bool) { return string(secret.Kind(k).Canonical()), true })
	if !ok {
		return nil
	}
	return func(k secret.Kind) bool { return holds(string(k.Canonical()), true) }
}

// namesOf returns all names of a kind: they are equal in filters (contract
// A17.1).
func namesOf(kind secret.Kind) []string {
	names := []string{string(kind)}
	for _, k := range secret.Kinds() {
		if k != kind && k.Canonical() == kind.Canonical() {
			names = append(names, string(k))
		}
	}
	return names
}
