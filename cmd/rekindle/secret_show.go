package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// printSecrets prints secrets of a property.
func (s *session) printSecrets(ctx context.Context, p client.Property, all []client.Secret) error {
	called := map[string]string{}
	if s.output == outputText && len(all) > 0 {
		environments, err := s.client.Environments(ctx, p.ID.ID, nil)
		if err != nil {
			return err
		}
		for _, e := range environments {
			called[e.ID.ID] = e.Attributes.Name
		}
	}
	sortByName(all, callSecret)
	list, now := make([]written, len(all)), s.now()
	t := table{head: []string{"NAME", "TYPE", "STATUS", "ENVIRONMENT", "REFRESH", "EXPIRES", "REAUTHORIZE BY"}}
	for i, one := range all {
		list[i] = written{one.ID, one.Source}
		a := one.Attributes
		t.add(a.Name, a.TypeOf, standing(one), called[one.Relationships.Environment.ID()],
			relative(one.Meta.NextAttemptAt, now), relative(a.ExpiresAt, now), relative(one.Meta.ReauthorizeBy, now))
	}
	s.printAll(list, "there are no such secrets in "+p.Attributes.Name+": make one with rekindle secret create", t.write)
	return nil
}

// standing is how a secret is, in a few words: how its last exchange went, and
// what is wrong besides.
func standing(one client.Secret) string {
	text := one.Attributes.Status
	if refresh := one.Meta.RefreshStatus; refresh != "" && refresh != "succeeded" {
		text += ", refresh " + refresh
	}
	switch {
	case one.Meta.ElsewhereSince != nil:
		text += ", kept fresh elsewhere"
	case one.Meta.AuthorizationHeldAt != nil:
		text += ", consent held"
	case one.Meta.AuthorizationRequired:
		text += ", authorize again"
	}
	return text
}

// units are those of the credentials that are numbers.
var units = map[string]string{"refresh_offset": " s", "ttl": " s"}

// printSecret prints all there is to say of one secret.
func (s *session) printSecret(one client.Secret) {
	s.print(written{one.ID, one.Source}, func(w io.Writer) {
		a, meta, now := one.Attributes, one.Meta, s.now()
		var t sheet
		t.add("name", a.Name)
		t.add("id", one.ID.ID)
		t.add("type", a.TypeOf)
		t.add("status", because(a.Status, meta.StatusDetails))
		t.add("provider asks to wait until", moment(meta.StatusDetails.RetryAt(), now))
		t.add("kept fresh elsewhere since", moment(meta.ElsewhereSince, now))
		t.add("last refresh", because(meta.RefreshStatus, meta.RefreshStatusDetails))
		t.add("provider asks to wait until", moment(meta.RefreshStatusDetails.RetryAt(), now))
		if why := meta.AuthorizationStatusDetails.String(); why != "" {
			t.add("last dialog", "failed: "+why)
		}
		for _, w := range meta.Warnings {
			t.add("warning", w.Detail)
		}
		t.add("consent held since", moment(meta.AuthorizationHeldAt, now))
		t.add("authorized scopes", strings.Join(meta.AuthorizedScopes, " "))
		t.add("activated", moment(a.ActivatedAt, now))
		t.add("next attempt", moment(meta.NextAttemptAt, now))
		t.add("expires", moment(a.ExpiresAt, now))
		t.add("reauthorize by", moment(meta.ReauthorizeBy, now))
		t.add("property", one.Relationships.Property.ID())
		if e := one.Relationships.Environment; e.ID() != "" {
			t.add("environment", fmt.Sprintf("%s (%s)", e.ID(), e.Meta.Stage))
		}
		for _, member := range slices.Sorted(maps.Keys(a.Credentials)) {
			t.add(words(member), plain(a.Credentials[member])+units[member])
		}
		t.add("created", by(moment(&a.CreatedAt, now), a.CreatedByDisplayName))
		t.add("updated", by(moment(&a.UpdatedAt, now), a.UpdatedByDisplayName))
		t.write(w)
	})
	if s.output != outputText {
		return
	}
	switch {
	case one.Meta.AuthorizationRequired:
		fmt.Fprintf(s.err, "a person must consent again: rekindle secret reauthorize %s\n", one.ID.ID)
	case givenUp(one):
		fmt.Fprintf(s.err, "nothing tries again by itself; what to do says: rekindle secret timeline %s\n", one.ID.ID)
	}
	if one.Meta.AuthorizationHeldAt != nil {
		fmt.Fprintf(s.err, "another account than before has consented; if that is right: rekindle secret accept %s\n", one.ID.ID)
	}
}

// givenUp reports whether the last exchange or refresh failed and none is planned.
func givenUp(one client.Secret) bool {
	return one.Meta.NextAttemptAt == nil && (one.Attributes.Status == "failed" || one.Meta.RefreshStatus == "failed")
}

func because(status string, why client.Details) string {
	if detail := why.String(); detail != "" {
		return status + ": " + detail
	}
	return status
}

func by(when, who string) string {
	if who == "" {
		return when
	}
	return when + " by " + who
}

// plain writes a member of a document: text as it is, all else as JSON.
func plain(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	encoded, _ := json.Marshal(value) //nolint:errcheck // it was decoded from JSON
	return string(encoded)
}
