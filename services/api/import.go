package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// ImportMode is what an import is to do: a closed set.
type ImportMode string

// The modes.
const (
	// ImportCreate makes the secret unless there is one of its name, which is
	// never changed. It is what is done unless another mode is asked for.
	ImportCreate ImportMode = "create"
	// ImportCheck does all that ImportCreate does, but makes nothing.
	ImportCheck ImportMode = "check"
	// ImportTakeOver makes the secret of that name this fleet's own, if another
	// system keeps it fresh: with the consent that is given, as it is by then, or
	// else with the one that came with the import.
	ImportTakeOver ImportMode = "take_over"
)

// ImportResult is what an import came to: a closed set.
type ImportResult string

// The results. ImportExists and ImportDiffers are said of a secret that was there
// already, by what of it can be seen.
const (
	ImportNew       ImportResult = "new" // it would be made
	ImportCreated   ImportResult = "created"
	ImportExists    ImportResult = "exists"
	ImportDiffers   ImportResult = "differs"
	ImportTakenOver ImportResult = "taken_over"
)

// Imported is how an import ended.
type Imported struct {
	// Secret is nil if the result is ImportNew.
	Secret *secret.Secret
	Result ImportResult
}

// importOrder is what is said of an import beside the secret itself.
type importOrder struct {
	mode      ImportMode
	elsewhere bool          // the system that the secret comes from keeps it fresh until it is taken over
	in        time.Duration // for how long the first exchange is put off
}

// ImportSecret takes in a secret of another system: the resource data of a create,
// with the consent that was given elsewhere as the attribute grant, and an order in
// its meta. To import the same again changes nothing. It returns ErrNotFound, a
// RefusedError, ErrNotReady or ErrUnavailable.
func (s *Service) ImportSecret(ctx context.Context, who Caller, property string, data *Object) (*Imported, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	if err := openResource(data, "secrets", InvalidSecret); err != nil {
		return nil, err
	}
	order := readImportOrder(data)
	if order.mode == ImportTakeOver {
		return s.takeOver(ctx, who, parent, data, order)
	}
	n, hidden, err := s.readSecret(ctx, who, parent, data)
	defer hidden.wipe()
	if n == nil {
		return nil, err
	}
	given := s.readGrant(data, n)
	defer given.token.Wipe()
	if err := data.report.err(); err != nil {
		return nil, err
	}
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	if order.mode == ImportCheck {
		there, err := s.alreadyThere(ctx, who, n)
		if errors.Is(err, ErrNotFound) {
			return &Imported{Result: ImportNew}, nil
		}
		return there, err
	}
	s.begin(ctx, who, n)
	draft, err := draftImport(sealer, n, hidden, given)
	if err != nil {
		return nil, err
	}
	return s.storeImport(ctx, who, draft, order)
}

// draftImport seals what is hidden of a new secret.
func draftImport(sealer *seal.Sealer, n *secret.Secret, hidden hiddenFields, given grantGiven) (*secret.Draft, error) {
	draft := &secret.Draft{Secret: n}
	if n.Kind.Interactive() {
		draft.Consent = new(secret.Consent)
		n.Authorization = new(secret.Authorization)
	}
	var err error
	if given.consent != nil {
		draft.Consent.Imported, err = given.sealFor(n, sealer)
	}
	if err == nil {
		draft.Credential, err = sealFields(sealer, n, hidden)
	}
	return draft, err
}

// storeImport writes the secret, unless there is one of its name.
func (s *Service) storeImport(ctx context.Context, who Caller, draft *secret.Draft, order importOrder) (*Imported, error) {
	n := draft.Secret
	if order.elsewhere {
		n.Elsewhere = n.CreatedAt
	}
	n.Ask(n.CreatedAt)
	n.PutOff(n.CreatedAt, n.CreatedAt.Add(order.in))
	rev, err := s.telling(func() deed { return created(who, n, true) }).Create(ctx, draft)
	if errors.Is(err, secret.ErrNameTaken) {
		there, err := s.alreadyThere(ctx, who, n)
		if errors.Is(err, ErrNotFound) { // it was deleted in between
			return nil, ErrNotReady
		}
		return there, err
	}
	if err != nil {
		return nil, unavailable(err)
	}
	s.see(ctx, rev)
	return &Imported{n, ImportCreated}, nil
}

// alreadyThere compares a secret with the one that has its name, by what can be
// seen of both. It returns ErrNotFound when there is none.
func (s *Service) alreadyThere(ctx context.Context, who Caller, n *secret.Secret) (*Imported, error) {
	there, err := s.named(ctx, who, n.Property, n.Name)
	if err != nil {
		return nil, err
	}
	result := ImportDiffers
	if there.Kind.Canonical() == n.Kind.Canonical() && there.Environment == n.Environment && reflect.DeepEqual(there.Credentials, n.Credentials) {
		result = ImportExists
	}
	return &Imported{there, result}, nil
}

// named returns the secret of a property that has the name, or ErrNotFound.
func (s *Service) named(ctx context.Context, who Caller, property, name string) (*secret.Secret, error) {
	id, err := s.secrets.Holder(ctx, property, name)
	if errors.Is(err, state.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return s.Secret(ctx, who, id)
}

// takeOver is how a take-over is told: it has a route of its own.
const takeOver = Action(ImportTakeOver)

// takeOver ends that another system keeps a secret fresh. One that is this fleet's
// own already is left alone.
func (s *Service) takeOver(ctx context.Context, who Caller, parent *Property, data *Object, order importOrder) (*Imported, error) {
	a, _ := data.object("attributes")
	a.require("name")
	name, _ := a.text("name", maxName)
	if err := data.report.err(); err != nil {
		return nil, err
	}
	there, err := s.named(ctx, who, parent.ID, name)
	if err != nil {
		return nil, err
	}
	given := s.readGrant(data, there)
	defer given.token.Wipe()
	if err := data.report.err(); err != nil {
		return nil, err
	}
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	now := s.now()
	taken, rev, err := s.edit(ctx, edit{who, there.ID, takeOver, func(d *secret.Draft) error {
		if d.Elsewhere.IsZero() {
			return errUnchanged
		}
		if err := given.replace(d, sealer); err != nil {
			return err
		}
		d.TakeOver(now)
		d.PutOff(now, now.Add(order.in))
		return nil
	}, func(t *secret.Secret) []saying { return []saying{sayTakenOver(t)} }})
	if err != nil {
		return nil, err
	}
	if rev == 0 {
		return &Imported{taken, ImportExists}, nil
	}
	s.see(ctx, rev)
	return &Imported{taken, ImportTakenOver}, nil
}

// readImportOrder reads the meta of an import. What is wrong with it is noted.
func readImportOrder(data *Object) importOrder {
	meta, _ := data.object("meta")
	order := importOrder{mode: ImportCreate, elsewhere: meta.flag("elsewhere")}
	if mode, ok := meta.oneOf("mode", string(ImportCreate), string(ImportCheck), string(ImportTakeOver)); ok {
		order.mode = ImportMode(mode)
	}
	const most = secret.MaxPutOff
	var seconds float64
	if what := fmt.Sprintf("a number of seconds from 0 to %d", most/time.Second); meta.decode("exchange_in", &seconds, what) {
		if order.in = time.Duration(seconds * float64(time.Second)); seconds < 0 || seconds > most.Seconds() {
			meta.fault("exchange_in", "must be "+what)
		}
	}
	return order
}

// grantGiven is a consent that was given to another system, without its refresh
// token; consent is nil when none was given.
type grantGiven struct {
	consent *secret.ConsentGrant
	token   seal.Plaintext
}

// sealFor makes the consent the secret's.
func (g grantGiven) sealFor(n *secret.Secret, sealer *seal.Sealer) (*secret.ConsentGrant, error) {
	consent := *g.consent
	consent.Generation = n.Import(consent.AuthorizedAt, consent.Scopes)
	var err error
	consent.Sealed, err = sealer.Seal(seal.LongLived, seal.Binding{
		Secret: n.ID, Field: secret.FieldRefreshToken, Generation: consent.Generation,
	}, g.token)
	return &consent, err
}

// replace puts the consent, if there is one, in place of what the draft has: the
// other system may have gone on with it.
func (g grantGiven) replace(d *secret.Draft, sealer *seal.Sealer) (err error) {
	if g.consent == nil {
		return nil
	}
	if d.Consent == nil {
		d.Consent = new(secret.Consent)
	} else {
		d.Consent = d.Consent.Clone()
	}
	d.Consent.Imported, err = g.sealFor(d.Secret, sealer)
	return err
}

// readGrant reads the attribute grant. What is wrong with it is noted.
func (s *Service) readGrant(data *Object, n *secret.Secret) (given grantGiven) {
	const name = "grant"
	a, _ := data.object("attributes")
	g, there := a.object(name)
	if !there {
		return given
	}
	app, interactive := s.cfg.Apps[n.Kind.Provider()]
	if !interactive {
		if !a.faulty("type_of") {
			a.fault(name, "is for the types that a person consents to")
		}
		return given
	}
	g.require("refresh_token", "authorized_at")
	given.token, _ = g.hidden("refresh_token", maxHidden)
	given.consent = &secret.ConsentGrant{
		ClientID: app.Registration.ClientID, AuthorizedAt: pastMoment(g, "authorized_at", s.now()), EndsAt: s.endOf(g),
		Account: account(g, app.Provider.Name), Scopes: grantedScopes(g), Extra: extra(g, app.Provider),
	}
	if id, ok := g.text("client_id", maxIdentifier); ok && id != app.Registration.ClientID {
		g.fault("client_id", "is another app than the one that is registered here: its refresh tokens are of no use to this one")
	}
	return given
}

// pastMoment reads when something was.
func pastMoment(o *Object, name string, now time.Time) (at time.Time) {
	const what = "a timestamp like 2026-11-21T09:30:00Z"
	if o.decode(name, &at, what) && (at.After(now) || at.Year() < 2000) {
		o.fault(name, "must be "+what+" that has passed, and not before the year 2000")
	}
	return at.UTC().Truncate(time.Millisecond)
}

// endOf reads when a consent ends, zero when that is not known.
func (s *Service) endOf(g *Object) (end time.Time) {
	const name = "reauthorize_by"
	if g.decode(name, &end, "a timestamp like 2026-11-21T09:30:00Z") && !end.After(s.now()) {
		g.fault(name, "has passed: the consent has ended, and a person has to consent again")
	}
	return end.UTC().Truncate(time.Millisecond)
}

// account reads who consented: the subject at the provider, or what an export made
// of it.
func account(g *Object, provider string) string {
	if subject, ok := g.text("account", maxIdentifier); ok {
		return secret.Account(provider, subject)
	}
	const name = "account_fingerprint"
	fingerprint, ok := g.text(name, maxIdentifier)
	if raw, err := hex.DecodeString(fingerprint); ok && (err != nil || len(raw) != fingerprintBytes) {
		g.fault(name, "must be one that an export has written")
	}
	return fingerprint
}

// fingerprintBytes is the length of what secret.Account returns, in bytes.
const fingerprintBytes = 16

func grantedScopes(g *Object) (read []string) {
	const name = "scopes"
	if !g.decode(name, &read, "a list of strings") {
		return nil
	}
	if len(read) > maxScopes || slices.ContainsFunc(read, func(scope string) bool { return len(scope) > maxScope || !isScope(scope) }) {
		g.fault(name, fmt.Sprintf("must be a list of at most %d scopes of 1 to %d visible characters", maxScopes, maxScope))
	}
	return read
}

// extra reads what else belongs to the grant: what the provider's descriptor keeps.
func extra(g *Object, p provider.Descriptor) map[string]string {
	const name = "extra"
	members, ok := g.object(name)
	if !ok {
		return nil
	}
	kept := slices.Concat(p.Answer.Keep, p.Answer.KeepCallback, []string{p.Subject.Field})
	read := make(map[string]string, len(members.members))
	for _, member := range members.names() {
		var value string
		switch {
		case !slices.Contains(kept, member):
			members.fault(member, "is nothing that a grant of this provider has")
		case !members.decode(member, &value, "a string"):
		case len(value) > maxCallbackValue:
			members.fault(member, fmt.Sprintf("must be at most %d bytes long", maxCallbackValue))
		default:
			read[member] = value
		}
	}
	return read
}
