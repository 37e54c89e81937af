// Package provider describes OAuth 2.0 providers as data: where their endpoints
// are, what their requests and answers look like, how long their tokens live,
// what using a refresh token does to it, when a person has to consent again, and
// what their errors mean. Whoever speaks to a provider does so by its
// [Descriptor] and knows no provider by name.
//
// The package promises that the descriptors it ships ([Defaults]) are valid, and
// that a [Set] holds valid ones only, each of which can be had as a copy. It
// opens no connection, reads no file and knows no secret: what a deployment
// registered with a provider is a [Registration], without its client secret. It
// refuses, naming the field and what to write instead, what would leak (plain
// http, user names in addresses), what contradicts itself, and any value of a
// placeholder that could lead a request to another host.
//
// A descriptor says what differs from RFC 6749. The zero value of a field is the
// RFC's way, or "not known". Durations that a provider states in months or years
// are the shorter reading of it.
//
// # Adding a provider
//
//  1. Write the descriptor in the file of its trade (advertising.go, business.go,
//     identity.go, work.go), each fact that is not obvious with its source. Where
//     sources disagree, or there is none, say "unverified" in Notes.
//  2. Name it in [Defaults].
//  3. Record the shape of its answers in testdata/<name>.json, with invented
//     values, and what is to be read from them.
//  4. Run the tests with -update, and read the change of
//     testdata/descriptors.golden and of docs/providers.md as a reviewer would.
//
// A deployment adds or changes one without touching this package: it takes a
// copy ([Set.Get]), or a zero Descriptor for a new one, sets fields, and gives it
// to [Set.With]. The yaml tags are the names of the fields in a configuration
// file; decoding onto such a copy leaves what the file does not name.
package provider

import "time"

// Descriptor is what there is to know about one provider. It is data: copy it
// with Clone, for it holds maps and slices.
type Descriptor struct {
	// Name is the key: lower-case letters, digits and dashes.
	Name string `yaml:"-"`
	// Label is the name for people.
	Label string `yaml:"label"`
	// Kind is the kind of secret whose secrets are all from this provider
	// (contract A9), "oauth2-google"; empty for most.
	Kind string `yaml:"kind"`
	// Docs is the provider's own page about its tokens.
	Docs string `yaml:"docs"`
	// Notes are for people: what no field can say, and what is unverified.
	Notes string `yaml:"notes"`

	// The endpoints: https, or http at a host that cannot be public. A {name} in
	// host or path is a placeholder.
	AuthorizeURL string `yaml:"authorize_url"`
	TokenURL     string `yaml:"token_url"`
	// RefreshURL is where refresh tokens are sent, when not to TokenURL.
	RefreshURL string `yaml:"refresh_url"`
	// RevokeURL is an endpoint by RFC 7009; empty where there is none.
	RevokeURL string `yaml:"revoke_url"`
	// IntrospectURL is an endpoint by RFC 7662, for a provider that does not
	// say otherwise how long its tokens live.
	IntrospectURL string `yaml:"introspect_url"`
	// Placeholders are the {names} of the endpoints and parameters.
	Placeholders map[string]Placeholder `yaml:"placeholders"`

	// AuthStyle is how the client proves at the token endpoint who it is. It is
	// pinned, for finding it out by trying can cost a single-use grant.
	AuthStyle AuthStyle `yaml:"auth_style"`
	// RequestFormat is how token requests are encoded; empty is a form.
	RequestFormat Format `yaml:"request_format"`
	// PKCE is the challenge method (RFC 7636), empty for a provider that takes
	// none.
	PKCE PKCE `yaml:"pkce"`
	// AuthorizeParams are sent to AuthorizeURL besides the RFC's, TokenParams
	// with a code, RefreshParams with a refresh token. The latter two may
	// replace grant_type.
	AuthorizeParams map[string]string `yaml:"authorize_params"`
	TokenParams     map[string]string `yaml:"token_params"`
	RefreshParams   map[string]string `yaml:"refresh_params"`
	// Rename has the parameters that go by other names.
	Rename Rename `yaml:"rename"`
	Scopes Scopes `yaml:"scopes"`

	Answer  Answer      `yaml:"answer"`
	Expiry  Expiry      `yaml:"expiry"`
	Refresh Refresh     `yaml:"refresh"`
	Consent Consent     `yaml:"consent"`
	Subject Subject     `yaml:"subject"`
	Issuer  Issuer      `yaml:"issuer"`
	Errors  []ErrorRule `yaml:"errors"`
	// SecretLife is how long the client secret of an app lives where the
	// provider ends it; 0 where it does not, or leaves it to the app.
	SecretLife time.Duration `yaml:"secret_life"`
}

// AuthStyle is a way of client authentication at the token endpoint.
type AuthStyle string

// The styles.
const (
	AuthParams        AuthStyle = "params"          // client_id and client_secret as parameters
	AuthHeader        AuthStyle = "header"          // HTTP Basic, each form-encoded first (RFC 6749 section 2.3.1)
	AuthPrivateKeyJWT AuthStyle = "private_key_jwt" // a signed assertion (RFC 7523 section 2.2)
	AuthTLS           AuthStyle = "tls"             // a client certificate (RFC 8705)
)

// Format is an encoding of a token request.
type Format string

// The formats.
const (
	FormatForm  Format = "form"
	FormatJSON  Format = "json"
	FormatQuery Format = "query" // in the URL: it gets into the provider's logs
)

// PKCE is a code challenge method. "plain" is not among them.
type PKCE string

// S256 is the method of RFC 7636 section 4.2.
const S256 PKCE = "S256"

// Rename maps the names of RFC 6749 to the provider's own. The empty name means
// that the parameter is not sent.
type Rename struct {
	Authorize map[string]string `yaml:"authorize"` // of the authorization request
	Token     map[string]string `yaml:"token"`     // of both token requests
	Callback  map[string]string `yaml:"callback"`  // of the redirect back to us
}

// Scopes say what is asked for.
type Scopes struct {
	// Default are asked for when a secret names none.
	Default []string `yaml:"default"`
	// Always are asked for besides the secret's own: what it takes to be given
	// a refresh token, or to be told whose grant it is. Answers often leave
	// them out of what was granted.
	Always []string `yaml:"always"`
	// Allowed are all that a secret may name; empty is any.
	Allowed []string `yaml:"allowed"`
	// Separator stands between scopes in a request; empty is a space.
	Separator Separator `yaml:"separator"`
}

// Separator is what stands between scopes.
type Separator string

// The separators.
const (
	SeparatorSpace Separator = "space"
	SeparatorComma Separator = "comma"
	SeparatorPlus  Separator = "plus"
)

// Answer says where a token answer has what. Fields are named by path: the names
// of members from the top, with dots between them.
type Answer struct {
	// Token is the object that holds access token, refresh token and lifetimes,
	// "authed_user". An answer without that object is read at the top.
	Token string `yaml:"token"`
	// OK is a member that is true unless the request was refused, whatever the
	// status.
	OK string `yaml:"ok"`
	// Scopes is the member with the granted scopes, a text or a list; empty is
	// "scope".
	Scopes string `yaml:"scopes"`
	// Keep are members that are part of the grant, "instance_url". They may
	// change with every refresh and are stored together with the token.
	Keep []string `yaml:"keep"`
	// KeepCallback are parameters of the redirect back to us that are part of
	// the grant, "realmId".
	KeepCallback []string `yaml:"keep_callback"`
}

// Expiry says how long access tokens live. Of several times that an answer names
// the earliest counts.
type Expiry struct {
	// Field is the member with the lifetime; empty is "expires_in".
	Field string `yaml:"field"`
	// Unit is the unit of a lifetime that is a number; empty is seconds.
	Unit Unit `yaml:"unit"`
	// At is the member with the moment of expiry: seconds or milliseconds since
	// 1970, or RFC 3339.
	At string `yaml:"at"`
	// Fixed is the lifetime, whatever an answer says.
	Fixed time.Duration `yaml:"fixed"`
	// Default is the lifetime when neither the answer nor introspection tells.
	Default time.Duration `yaml:"default"`
	// Endless says that a token whose answer names no lifetime does not expire.
	Endless bool `yaml:"endless"`
}

// Unit is the unit of a lifetime.
type Unit string

// The units.
const (
	UnitSeconds      Unit = "seconds"
	UnitMilliseconds Unit = "milliseconds"
	UnitText         Unit = "text" // as Go writes durations: "1h"
)

// Refresh says what there is to know about refresh tokens, and when to use them.
type Refresh struct {
	// Issued says whether the answer to a code has a refresh token; empty is
	// always.
	Issued Issue `yaml:"issued"`
	// Rotates says that using a refresh token replaces it: every answer has to
	// bring one, be it the same, and what was used ends, after Grace.
	Rotates bool `yaml:"rotates"`
	// Grace is for how long a refresh token may be sent again after it was
	// used, to get over an answer that was lost; 0 is not at all.
	Grace time.Duration `yaml:"grace"`
	// GraceGenerations is how many predecessors Grace is for: 1 is just the
	// immediate one, 0 is any number.
	GraceGenerations int `yaml:"grace_generations"`
	// Life is how long a refresh token lives; 0 is without end, or not known.
	// What an answer says comes first.
	Life time.Duration `yaml:"life"`
	// Slides says that each use starts Life anew.
	Slides bool `yaml:"slides"`
	// ExpiresField is the member with the lifetime of the refresh token, in
	// seconds; empty is "refresh_token_expires_in".
	ExpiresField string `yaml:"expires_field"`
	// PerAccount is how many refresh tokens an account may have with one app
	// before the oldest ends, unannounced; 0 is not known.
	PerAccount int `yaml:"per_account"`

	// Offset is how long before expiry to refresh; 0 is up to the policy.
	Offset time.Duration `yaml:"offset"`
	// MaxOffset is the longest before expiry that a refresh is not refused, or
	// answered with the token there is; 0 is any time.
	MaxOffset time.Duration `yaml:"max_offset"`
	// MinGap is the least time between two refreshes; 0 is none.
	MinGap time.Duration `yaml:"min_gap"`
}

// Issue says whether a provider gives refresh tokens.
type Issue string

// The ways.
const (
	IssuedAlways    Issue = "always"
	IssuedSometimes Issue = "sometimes" // to some apps: without one, consent ends with the access token
	IssuedNever     Issue = "never"
)

// Consent says when a person has to act again, whatever is refreshed.
type Consent struct {
	// ReauthorizeAfter is the time from authorization to the end of the grant,
	// which no refresh prolongs; 0 is no such end.
	ReauthorizeAfter time.Duration `yaml:"reauthorize_after"`
	// WarnMonths is how many calendar months before the end to warn first.
	WarnMonths int `yaml:"warn_months"`
	// Reminders are how long before the end to warn again, longest first.
	Reminders []time.Duration `yaml:"reminders"`
}

// Subject says how to know whose grant it is, so that another account's consent
// is noticed. Where the place holds nothing, the account is not known.
type Subject struct {
	From Place `yaml:"from"`
	// Field is the claim, the path, or the parameter.
	Field string `yaml:"field"`
	// URL is of the userinfo endpoint, for [PlaceUserinfo].
	URL string `yaml:"url"`
}

// Issuer says how to know at which of a provider's servers an account is, where
// regions have their own: another than TokenURL's knows neither its codes nor its
// tokens. Where the place holds nothing, it counts as the right one.
type Issuer struct {
	From Place `yaml:"from"`
	// Field is the claim, the path, or the parameter: a URL or a host.
	Field string `yaml:"field"`
}

// Place is where a subject or an issuer is found.
type Place string

// The places.
const (
	PlaceIDToken  Place = "id_token" // a claim
	PlaceAnswer   Place = "answer"   // a member of the token answer
	PlaceCallback Place = "callback" // a parameter of the redirect back to us
	PlaceUserinfo Place = "userinfo" // a member of what URL answers to the access token
)

// ErrorRule says what one value in a refusal means.
type ErrorRule struct {
	// Field is the path of the member; empty is "error". A list matches when it
	// has the value.
	Field string `yaml:"field"`
	// Value is what the member is, letter by letter; numbers as written.
	Value string `yaml:"value"`
	// Meaning is what follows from it.
	Meaning Meaning `yaml:"meaning"`
	// Hint is a sentence for people about what to do.
	Hint string `yaml:"hint"`
}

// Meaning is what a refusal asks for.
type Meaning string

// The meanings.
const (
	NeedsHuman  Meaning = "needs_human"  // the grant has ended: someone has to consent again
	NeedsConfig Meaning = "needs_config" // the app is set up wrongly, here or there: every secret of it is concerned
	AdminPolicy Meaning = "admin_policy" // the administrator of the account's organisation forbids it
	Retry       Meaning = "retry"        // a fault of the provider that passes
	Wait        Meaning = "wait"         // too many requests
	Unknown     Meaning = "unknown"      // no rule knows it; not for use in a rule
)
