package api

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
	"unique"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// row is a secret as the projection keeps it: in a third of the memory that the
// record takes once it is decoded. What many secrets have in common they share.
// A row is never changed.
type row struct {
	// What lists are chosen and ordered by comes first, in one line of a processor's
	// cache.
	facet            unique.Handle[facet]
	name             string
	more             *more // nil for most
	created, updated int64 // Unix milliseconds, 0 for none; so are those below

	shape                             unique.Handle[shape]
	id                                string
	who                               string // the client id or the user name
	generation                        uint64
	activated, expires, refresh, next int64
}

// facet is what secrets are found by and are likely to have in common. A list has
// few different ones, so what is asked of a facet is answered once for each.
type facet struct {
	property, environment string
	kind                  secret.Kind
	status                secret.Status
}

// shape is what else secrets are likely to have in common.
type shape struct {
	org, stage, deployed string
	refreshStatus        secret.Status
	tokenURL             string
	offset               int64
	hasOffset, basic     bool   // basic: row.who is a user name
	options              string // as JSON; "" for none
	scopes               string // with blanks between them
	createdBy, updatedBy secret.Actor
	credential           uint64 // the generation of the credentials
	ahead                uint64 // the number of the decision, less the generation
	attempts             int
	late                 bool
}

// more is what few secrets have.
type more struct {
	failure, refreshFailure *secret.Failure
	authorization           *secret.Authorization
	warnings                []secret.Warning
	parked                  *secret.Parked
	elsewhere               int64               // Unix milliseconds, 0 for none
	signing                 *secret.Credentials // of a kind that signs
}

// newRow packs a record that is not deleted, without what no use case shows: its
// trace, when somebody asked for an exchange last, when a replay is to be, since when
// refreshes fail, the alarms that were given, and the revision of its artifact.
func newRow(s *secret.Secret) *row {
	c := &s.Credentials
	look := shape{
		org: s.Org, stage: s.Stage, deployed: s.Deployed, refreshStatus: s.RefreshStatus,
		tokenURL: c.TokenURL, hasOffset: c.RefreshOffset != nil, basic: c.Username != "",
		options: packed(c.Options), scopes: strings.Join(c.Scopes, " "),
		createdBy: s.CreatedBy, updatedBy: s.UpdatedBy,
		credential: s.CredentialGeneration, ahead: s.Decision - s.Generation, attempts: s.Attempts, late: s.RefreshLate,
	}
	if look.hasOffset {
		look.offset = *c.RefreshOffset
	}
	r := &row{
		facet: unique.Make(facet{s.Property, s.Environment, s.Kind, s.Status}), shape: unique.Make(look),
		id: s.ID, name: s.Name, who: cmp.Or(c.Username, c.ClientID), generation: s.Generation,
		created: millis(s.CreatedAt), updated: millis(s.UpdatedAt), activated: millis(s.ActivatedAt),
		expires: millis(s.ExpiresAt), refresh: millis(s.RefreshAt), next: millis(s.NextAttemptAt),
	}
	rare := more{
		failure: s.StatusDetails, refreshFailure: s.RefreshStatusDetails, authorization: s.Authorization,
		parked: s.Parked, warnings: s.Warnings, elsewhere: millis(s.Elsewhere),
	}
	if signs(c) {
		rare.signing = c
	}
	if !rare.empty() {
		r.more = &rare
	}
	return r
}

func (m *more) empty() bool {
	return m.failure == nil && m.refreshFailure == nil && m.authorization == nil && m.parked == nil &&
		len(m.warnings) == 0 && m.elsewhere == 0 && m.signing == nil
}

// signs reports whether credentials have what a row has no place for.
func signs(c *secret.Credentials) bool {
	return c.Iss != "" || c.Aud != "" || c.Sub != "" || c.TTL != 0 || c.Alg != "" || c.PrivateKeyID != "" ||
		len(c.CustomClaims) > 0 || c.Username != "" && c.ClientID != ""
}

// secret unpacks the row.
func (r *row) secret() *secret.Secret {
	s := new(secret.Secret)
	r.fill(s)
	return s
}

// fill unpacks the row over whatever s was.
func (r *row) fill(s *secret.Secret) {
	at, look := r.facet.Value(), r.shape.Value()
	*s = secret.Secret{
		ID: r.id, Org: look.org, Property: at.property, Environment: at.environment, Stage: look.stage,
		Name: r.name, Kind: at.kind, CredentialGeneration: look.credential,
		Status: at.status, RefreshStatus: look.refreshStatus,
		CreatedAt: moment(r.created), UpdatedAt: moment(r.updated), CreatedBy: look.createdBy, UpdatedBy: look.updatedBy,
		ActivatedAt: moment(r.activated), ExpiresAt: moment(r.expires), RefreshAt: moment(r.refresh),
		Generation: r.generation, Decision: r.generation + look.ahead, NextAttemptAt: moment(r.next),
		Attempts: look.attempts, RefreshLate: look.late, Deployed: look.deployed,
	}
	if m := r.more; m != nil {
		s.StatusDetails, s.RefreshStatusDetails, s.Authorization = m.failure, m.refreshFailure, m.authorization
		s.Parked, s.Warnings, s.Elsewhere = m.parked, m.warnings, moment(m.elsewhere)
	}
	r.fillCredentials(&s.Credentials, &look)
}

func (r *row) fillCredentials(c *secret.Credentials, look *shape) {
	if r.more != nil && r.more.signing != nil {
		*c = *r.more.signing
		return
	}
	c.TokenURL, c.Options = look.tokenURL, unpacked(look.options)
	if look.hasOffset {
		offset := look.offset
		c.RefreshOffset = &offset
	}
	if look.scopes != "" {
		c.Scopes = strings.Split(look.scopes, " ")
	}
	if look.basic {
		c.Username = r.who
	} else {
		c.ClientID = r.who
	}
}

// packed is the options as one text, the same for the same options.
func packed(options map[string]string) string {
	if len(options) == 0 {
		return ""
	}
	body, _ := json.Marshal(options) //nolint:errcheck // a map of texts
	return string(body)
}

func unpacked(text string) (options map[string]string) {
	if text != "" {
		_ = json.Unmarshal([]byte(text), &options) //nolint:errcheck // it was packed
	}
	return options
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
