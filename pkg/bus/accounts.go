package bus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rekindle-dev/rekindle/events"
)

// Names of the accounts of the server. What a client may, subjects say; but who may ask
// JetStream anything can have the answer sent anywhere in its account, and have consumers
// deliver there, since the server holds neither against the client's permissions. So
// whoever must not reach something, whatever it does, is in another account.
const (
	accountFleet = "FLEET"
	accountVault = "VAULT"
	// accountSystem is the server's own.
	accountSystem = "SYS"
)

// Organisation is what the server admits for one organisation: systems that say what is to
// be done, by names, and whoever reads what happens.
type Organisation struct {
	Name      string
	Upstreams []string
}

// maxStrangers bounds the connections of an account of strangers: a server takes 65,536 in
// all, and none of the fleet may find that they are taken.
const maxStrangers = 256

// User is a client that the server admits by the public key of an nkey.
type User struct {
	Role Role
	// Org and Name tell the users of organisations from others.
	Org, Name string
}

// Key is the name of the variable that stands for the user's public key in the
// configuration of the server.
func (u User) Key() string {
	parts := []string{"KEY", variable(strings.ToUpper(string(u.Role)))}
	if u.Org != "" {
		parts = append(parts, variable(u.Org))
	}
	if u.Name != "" {
		parts = append(parts, variable(u.Name))
	}
	return strings.Join(parts, "__")
}

// variable writes a text with what the name of a variable may have. A "_" in it is followed
// by two digits, so two of them separate.
func variable(s string) string {
	return strings.NewReplacer("=", "_", "-", "_2D").Replace(strings.ReplaceAll(events.Token(s), "_", "=5F"))
}

// Users are all users of a fleet with the organisations, in the order of the configuration.
func Users(orgs []Organisation) []User {
	var users []User
	for _, a := range accounts(orgs) {
		users = append(users, a.users...)
	}
	return users
}

// account is one of the server's: who is in it, what it lets others use, and what it uses
// of others.
type account struct {
	name             string
	jetstream        bool
	users            []User
	exports, imports []share
}

// share is subjects that one account has in common with another: requests to it, or
// messages from it. In the importing account it may have another name.
type share struct {
	subject  string
	messages bool
	to       string
	with     []string // the importing accounts
}

// ofStrangers reports whether an account is of an organisation.
func (a account) ofStrangers() bool {
	return slices.ContainsFunc(a.users, func(u User) bool { return u.Org != "" })
}

func accounts(orgs []Organisation) []account {
	fleet := account{name: accountFleet, jetstream: true, users: usersOf("", "", RoleAdmin, RoleAPI, RoleScheduler, RoleExchanger)}
	all := []account{{name: accountVault, jetstream: true, users: usersOf("", "", RoleVaultAdmin, RoleVault)}}
	for _, org := range orgs {
		for _, name := range org.Upstreams {
			all = append(all, upstreamAccount(org.Name, name))
		}
		all = append(all, readerAccount(org.Name))
	}
	for _, a := range all {
		for _, s := range a.imports {
			fleet.export(s, a.name)
		}
	}
	return append([]account{fleet}, all...)
}

// export lets an account use what it imports.
func (a *account) export(s share, with string) {
	i := slices.IndexFunc(a.exports, func(e share) bool { return e.subject == s.subject && e.messages == s.messages })
	if i < 0 {
		a.exports = append(a.exports, share{subject: s.subject, messages: s.messages, with: []string{with}})
		return
	}
	a.exports[i].with = append(a.exports[i].with, with)
}

func usersOf(org, name string, roles ...Role) []User {
	var users []User
	for _, r := range roles {
		users = append(users, User{r, org, name})
	}
	return users
}

// upstreamAccount is of one system. It has no JetStream: what it asks of the fleet's is
// named in full.
func upstreamAccount(org, name string) account {
	a := account{name: "UPSTREAM." + events.Token(org) + "." + events.Token(name), users: usersOf(org, name, RoleUpstream)}
	for _, p := range upstreamPermissions(org) {
		for _, s := range p.Publish {
			a.imports = append(a.imports, share{subject: s})
		}
		for _, s := range p.Subscribe {
			a.imports = append(a.imports, share{subject: s, messages: true})
		}
	}
	return a
}

// readerAccount has copies of what happens in one organisation. Nobody in it may ask for
// these copies but the server, and there is nothing else that could be asked for.
func readerAccount(org string) account {
	a := account{name: "READER." + events.Token(org), jetstream: true, users: usersOf(org, "", RoleReaderAdmin, RoleReader)}
	for _, c := range copies(org) {
		request := "CONSUMER.CREATE." + c.of + ".*." + c.subjects
		a.imports = append(a.imports, share{subject: "$JS.API." + request, to: copyAPI + "." + request})
	}
	for _, s := range slices.Concat(flowOf(streamEvents), flowOf(streamStatus)) {
		a.imports = append(a.imports, share{subject: s})
	}
	a.imports = append(a.imports, share{subject: copyDeliver(org) + ".>", messages: true}, share{subject: events.KeysetSubject})
	return a
}

// copied is a stream of a reader's account, and what it is a copy of.
type copied struct{ name, of, subjects string }

func copies(org string) []copied {
	return []copied{
		{ReaderEvents, streamEvents, eventsOf(org) + ">"},
		{"KV_" + ReaderStatus, streamStatus, prefixStatus + events.Token(org) + ".>"},
	}
}

// copyAPI begins where a reader's account asks the fleet's for the messages of its copies,
// and copyDeliver where these come to it.
const copyAPI = "FLEET.API"

func copyDeliver(org string) string { return events.Root + ".copy." + events.Token(org) }

// Accounts is the part of a NATS server's configuration that says who is admitted and what
// each may. Public keys are variables, see [User.Key], of a file keys.conf beside it.
func Accounts(orgs []Organisation) string {
	var b strings.Builder
	b.WriteString("include \"keys.conf\"\n\naccounts {\n")
	for _, a := range accounts(orgs) {
		fmt.Fprintf(&b, "  %q {\n", a.name)
		if a.jetstream {
			b.WriteString("    jetstream: enabled\n")
		}
		if a.ofStrangers() {
			fmt.Fprintf(&b, "    limits: {max_connections: %d}\n", maxStrangers)
		}
		b.WriteString("    users: [\n")
		for _, u := range a.users {
			writeUser(&b, u)
		}
		b.WriteString("    ]\n")
		writeShares(&b, "exports", a.exports, exported)
		writeShares(&b, "imports", a.imports, imported)
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func writeUser(b *strings.Builder, u User) {
	fmt.Fprintf(b, "      {\n        nkey: $%s\n", u.Key())
	defer b.WriteString("      }\n")
	publish, subscribe := Subjects(u.Role, u.Org)
	if publish == nil {
		return
	}
	b.WriteString("        permissions {\n          publish {\n")
	writeList(b, "allow", publish)
	if denied := Denied(u.Role); denied != nil {
		writeList(b, "deny", denied)
	}
	b.WriteString("          }\n          subscribe {\n")
	writeList(b, "allow", subscribe)
	b.WriteString("          }\n")
	if Answers(u.Role) {
		b.WriteString("          allow_responses: true\n")
	}
	b.WriteString("        }\n")
}

// Subjects are all that a role may publish, and listen to, each once and in order. Nil is
// for the roles that may everything in their account.
func Subjects(role Role, org string) (publish, subscribe []string) {
	for _, p := range Permissions(role, org) {
		publish = append(publish, p.Publish...)
		subscribe = append(subscribe, p.Subscribe...)
	}
	slices.Sort(publish)
	slices.Sort(subscribe)
	return slices.Compact(publish), slices.Compact(subscribe)
}

func writeList(b *strings.Builder, name string, subjects []string) {
	fmt.Fprintf(b, "            %s: [\n", name)
	for _, s := range subjects {
		fmt.Fprintf(b, "              %q\n", s)
	}
	b.WriteString("            ]\n")
}

func writeShares(b *strings.Builder, name string, shares []share, write func(share) string) {
	if len(shares) == 0 {
		return
	}
	fmt.Fprintf(b, "    %s: [\n", name)
	for _, s := range shares {
		fmt.Fprintf(b, "      {%s}\n", write(s))
	}
	b.WriteString("    ]\n")
}

func (s share) kind() string {
	if s.messages {
		return "stream"
	}
	return "service"
}

func exported(s share) string {
	with := make([]string, len(s.with))
	for i, name := range s.with {
		with[i] = strconv.Quote(name)
	}
	return fmt.Sprintf("%s: %q, accounts: [%s]", s.kind(), s.subject, strings.Join(with, ", "))
}

func imported(s share) string {
	from := fmt.Sprintf("%s: {account: %q, subject: %q}", s.kind(), accountFleet, s.subject)
	if s.to == "" {
		return from
	}
	return from + fmt.Sprintf(", to: %q", s.to)
}
