package provider

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Registration is an app that a deployment has registered with a provider. The
// client secret is kept elsewhere: who holds a Registration may show it.
type Registration struct {
	// Provider is the name of the descriptor.
	Provider string
	// ClientID is what the provider calls the app.
	ClientID string
	// SecretExpiresAt is when the app's client secret ends; zero where it does
	// not, or nobody said. It concerns every secret of the app at once and is
	// announced once.
	SecretExpiresAt time.Time
	// Values are of the provider's placeholders; those that are missing have a
	// default or differ from secret to secret.
	Values map[string]string
}

// Validate checks the registration against the descriptor of its provider. The
// errors are [*FieldError]s, joined.
func (r Registration) Validate(d Descriptor) error {
	var c checker
	c.check(r.Provider == d.Name, "provider", "is not the provider it is checked against", "name the provider")
	c.check(r.ClientID != "" && !strings.ContainsFunc(r.ClientID, notVisible), "client_id",
		"is empty or has characters that cannot be sent", "copy it from the app's page at the provider")
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		p, known := d.Placeholders[name]
		switch {
		case !known:
			c.check(false, "values."+name, "is not a placeholder of this provider", oneOf(slices.Sorted(maps.Keys(d.Placeholders))))
		default:
			c.check(p.Admits(r.Values[name]), "values."+name, p.flaw(r.Values[name]), p.fix())
		}
	}
	return c.err()
}

// App is a registration with the provider it is at: what it takes, but for the
// client secret, to speak to the provider. [Descriptor.At] fills the placeholders
// with the values of the registration.
type App struct {
	Provider     Descriptor
	Registration Registration
}

// Validate checks the registration against the descriptor, which it takes for
// valid. The errors are [*FieldError]s, joined.
func (a App) Validate() error { return a.Registration.Validate(a.Provider) }

// Apps are the apps of a deployment by the names of their providers: one each.
type Apps map[string]App

// CallbackNames are the names under which the providers of these apps send what
// has another name in RFC 6749 section 4.1.2, with that name.
func (a Apps) CallbackNames() map[string]string {
	names := map[string]string{}
	for _, app := range a {
		for ours, theirs := range app.Provider.Rename.Callback {
			names[theirs] = ours
		}
	}
	return names
}
