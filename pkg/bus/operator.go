package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// CredsFile is where the credentials of a user are, in a directory that [AdmitByJWT] has
// written: its JWT and its seed.
func (u User) CredsFile(dir string) string {
	return strings.TrimSuffix(u.SeedFile(dir), seedSuffix) + ".creds"
}

// AdmitByJWT is [Admit] for a server in operator mode: an operator that signs accounts, which
// sign users. What the table allows is in their JWTs. The seeds of operator and accounts are
// kept with those of whoever administers.
func AdmitByJWT(dir string, orgs []Organisation) error {
	op, err := keyOf(filepath.Join(dir, adminDir, "operator.nk"), nkeys.CreateOperator)
	if err != nil {
		return err
	}
	// In this mode JetStream wants to know the account of the server itself.
	all := append(accounts(orgs), account{name: accountSystem})
	keys := make(map[string]nkeys.KeyPair, len(all))
	for _, a := range all {
		if keys[a.name], err = keyOf(filepath.Join(dir, adminDir, "accounts", a.name+seedSuffix), nkeys.CreateAccount); err != nil {
			return err
		}
	}
	operator, err := signed(op, op, func(public string) jwt.Claims {
		c := jwt.NewOperatorClaims(public)
		c.Name = "rekindle"
		return c
	})
	if err != nil {
		return err
	}
	var conf strings.Builder
	system, err := keys[accountSystem].PublicKey()
	if err != nil {
		return err
	}
	fleet, err := keys[accountFleet].PublicKey()
	if err != nil {
		return err
	}
	fmt.Fprintf(&conf, "operator: %q\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n", operator, system)
	for _, a := range all {
		public, err := keys[a.name].PublicKey()
		if err != nil {
			return err
		}
		token, err := signed(op, keys[a.name], func(public string) jwt.Claims { return a.claims(public, fleet) })
		if err != nil {
			return fmt.Errorf("account %s: %w", a.name, err)
		}
		fmt.Fprintf(&conf, "  %s: %q\n", public, token)
		for _, u := range a.users {
			if err := writeCreds(dir, u, keys[a.name]); err != nil {
				return err
			}
		}
	}
	conf.WriteString("}\n")
	return writeServer(dir, accountsFile, conf.String())
}

// signed returns the JWT of a key pair, by who vouches for it.
func signed(by, of nkeys.KeyPair, claims func(public string) jwt.Claims) (string, error) {
	public, err := of.PublicKey()
	if err != nil {
		return "", err
	}
	c := claims(public)
	var problems jwt.ValidationResults
	c.Validate(&problems)
	if errs := problems.Errors(); errs != nil {
		return "", errors.Join(errs...)
	}
	return c.Encode(by)
}

// claims are what an account may, and has in common with that of the fleet.
func (a account) claims(public, fleet string) *jwt.AccountClaims {
	c := jwt.NewAccountClaims(public)
	c.Name = a.name
	if a.jetstream {
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{
			MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
		}
	}
	kind := func(s share) jwt.ExportType {
		if s.messages {
			return jwt.Stream
		}
		return jwt.Service
	}
	for _, s := range a.exports {
		c.Exports.Add(&jwt.Export{Name: s.subject, Subject: jwt.Subject(s.subject), Type: kind(s)})
	}
	for _, s := range a.imports {
		c.Imports.Add(&jwt.Import{
			Name: s.subject, Subject: jwt.Subject(s.subject), Account: fleet, LocalSubject: jwt.RenamingSubject(s.to), Type: kind(s),
		})
	}
	return c
}

// writeCreds writes the credentials of a user, vouched for by its account.
func writeCreds(dir string, u User, by nkeys.KeyPair) error {
	pair, err := keyOf(u.SeedFile(dir), nkeys.CreateUser)
	if err != nil {
		return err
	}
	defer pair.Wipe()
	token, err := signed(by, pair, func(public string) jwt.Claims {
		c := jwt.NewUserClaims(public)
		c.Name = u.Key()
		publish, subscribe := Subjects(u.Role, u.Org)
		c.Permissions.Pub = jwt.Permission{Allow: publish, Deny: Denied(u.Role)}
		c.Permissions.Sub = jwt.Permission{Allow: subscribe}
		if Answers(u.Role) {
			c.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: requestTimeout}
		}
		return c
	})
	if err != nil {
		return fmt.Errorf("user %s: %w", u.Key(), err)
	}
	seed, err := pair.Seed() // the pair's own copy, see Wipe
	if err != nil {
		return err
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return err
	}
	defer clear(creds)
	return os.WriteFile(u.CredsFile(dir), creds, 0o600)
}
