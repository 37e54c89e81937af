package provider

import (
	"errors"
	"maps"
	"slices"
)

// Set is the providers of a deployment. It does not change, and all of its
// descriptors are valid. The zero value is empty.
type Set struct{ byName map[string]Descriptor }

// Defaults returns the providers this package ships, which its tests have proved
// valid.
func Defaults() Set {
	byName := map[string]Descriptor{}
	for _, d := range []Descriptor{
		google(), linkedIn(), amazon(), amazonSeller(), facebook(), tikTok(),
		auth0(), cognito(), microsoft(), okta(), workOS(),
		hubSpot(), quickBooks(), salesforce(), shopify(), xero(),
		atlassian(), dropbox(), gitHub(), slack(), slackUser(), zoom(),
	} {
		byName[d.Name] = d
	}
	return Set{byName}
}

// With returns the set with these descriptors added, each in place of the one of
// its name. To change some fields of a provider, change a copy from Get. The
// errors are [*FieldError]s, joined, their fields with the provider's name in
// front; the set stays as it is.
func (s Set) With(ds ...Descriptor) (Set, error) {
	byName := maps.Clone(s.byName)
	if byName == nil {
		byName = make(map[string]Descriptor, len(ds))
	}
	var errs []error
	for _, d := range ds {
		errs = append(errs, under(d.Name, d.Validate()))
		byName[d.Name] = d.Clone()
	}
	kinds := make(map[string]string, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		kind := byName[name].Kind
		if first, taken := kinds[kind]; taken && kind != "" {
			errs = append(errs, &FieldError{name + ".kind", "is also the kind of " + first, "bind a kind to one provider"})
		}
		kinds[kind] = name
	}
	if err := errors.Join(errs...); err != nil {
		return s, err
	}
	return Set{byName}, nil
}

// Get returns a copy of the descriptor of that name.
func (s Set) Get(name string) (Descriptor, bool) {
	d, ok := s.byName[name]
	return d.Clone(), ok
}

// ForKind returns a copy of the descriptor that a kind of secret is bound to.
func (s Set) ForKind(kind string) (Descriptor, bool) {
	for _, d := range s.byName {
		if kind != "" && d.Kind == kind {
			return d.Clone(), true
		}
	}
	return Descriptor{}, false
}

// Names returns the names in alphabetical order.
func (s Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }

// Clone returns a descriptor that shares no map and no slice with d.
func (d Descriptor) Clone() Descriptor {
	d.Placeholders = maps.Clone(d.Placeholders)
	for name, p := range d.Placeholders {
		p.OneOf = slices.Clone(p.OneOf)
		d.Placeholders[name] = p
	}
	d.AuthorizeParams = maps.Clone(d.AuthorizeParams)
	d.TokenParams = maps.Clone(d.TokenParams)
	d.RefreshParams = maps.Clone(d.RefreshParams)
	d.Rename.Authorize = maps.Clone(d.Rename.Authorize)
	d.Rename.Token = maps.Clone(d.Rename.Token)
	d.Rename.Callback = maps.Clone(d.Rename.Callback)
	d.Scopes.Default = slices.Clone(d.Scopes.Default)
	d.Scopes.Always = slices.Clone(d.Scopes.Always)
	d.Scopes.Allowed = slices.Clone(d.Scopes.Allowed)
	d.Answer.Keep = slices.Clone(d.Answer.Keep)
	d.Answer.KeepCallback = slices.Clone(d.Answer.KeepCallback)
	d.Consent.Reminders = slices.Clone(d.Consent.Reminders)
	d.Errors = slices.Clone(d.Errors)
	return d
}
