package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
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
	operator, err := operatorJWT(filepath.Join(dir, adminDir, "operator.jwt"), op)
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
		var users []string
		for _, u := range a.users {
			user, err := writeCreds(dir, u, keys[a.name])
			if err != nil {
				return err
			}
			users = append(users, user)
		}
		former, err := formerUsers(filepath.Join(dir, adminDir, "accounts", a.name+".users"), users)
		if err != nil {
			return err
		}
		token, err := signed(op, keys[a.name], func(public string) jwt.Claims { return a.claims(public, fleet, former) })
		if err != nil {
			return fmt.Errorf("account %s: %w", a.name, err)
		}
		fmt.Fprintf(&conf, "  %s: %q\n", public, token)
	}
	conf.WriteString("}\n")
	return writeServer(dir, accountsFile, conf.String())
}

// operatorJWT returns that of a file, which it makes if there is none of the operator: a
// server that runs takes accounts of others, but not another JWT of its operator.
func operatorJWT(path string, op nkeys.KeyPair) (string, error) {
	public, err := op.PublicKey()
	if err != nil {
		return "", err
	}
	data, err := readPrivate(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	kept := strings.TrimSpace(string(data))
	if c, err := jwt.DecodeOperatorClaims(kept); err == nil && c.Subject == public {
		return kept, nil
	}
	made, err := signed(op, op, func(public string) jwt.Claims {
		c := jwt.NewOperatorClaims(public)
		c.Name = "rekindle"
		return c
	})
	if err != nil {
		return "", err
	}
	return made, writePrivate(path, []byte(made+"\n"))
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

// formerUsers returns the public keys in a file but for those of the users, which it adds to
// the file. What an account has signed is good until the account says otherwise.
func formerUsers(path string, users []string) (former []string, err error) {
	data, err := readPrivate(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	all := strings.Fields(string(data))
	for _, u := range all {
		if !slices.Contains(users, u) {
			former = append(former, u)
		}
	}
	all = slices.Concat(former, users)
	return former, writePrivate(path, []byte(strings.Join(all, "\n")+"\n"))
}

// claims are what an account may, and has in common with that of the fleet.
func (a account) claims(public, fleet string, former []string) *jwt.AccountClaims {
	c := jwt.NewAccountClaims(public)
	c.Name = a.name
	for _, u := range former {
		c.Revoke(u)
	}
	if a.ofStrangers() {
		c.Limits.Conn = maxStrangers
	}
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

// writeCreds writes the credentials of a user, vouched for by its account, and returns its
// public key.
func writeCreds(dir string, u User, by nkeys.KeyPair) (public string, err error) {
	pair, err := keyOf(u.SeedFile(dir), nkeys.CreateUser)
	if err != nil {
		return "", err
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
		return "", fmt.Errorf("user %s: %w", u.Key(), err)
	}
	seed, err := pair.Seed() // the pair's own copy, see Wipe
	if err != nil {
		return "", err
	}
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return "", err
	}
	defer clear(creds)
	if err := writePrivate(u.CredsFile(dir), creds); err != nil {
		return "", err
	}
	return pair.PublicKey()
}
