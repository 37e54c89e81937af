package bus

import (
	"slices"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Role is what a client of the server does in the fleet, and therefore what it may.
type Role string

// The roles. Each is of one account of the server; see [AccountOf].
const (
	// RoleAdmin declares streams and consumers. No process of the fleet has it.
	RoleAdmin Role = "admin"
	// RoleAPI, RoleScheduler and RoleExchanger are the processes of the fleet.
	RoleAPI       Role = "api"
	RoleScheduler Role = "scheduler"
	RoleExchanger Role = "exchanger"
	// RoleVault is an exchanger where grants and artifacts are, and RoleVaultAdmin who
	// declares that.
	RoleVault      Role = "vault"
	RoleVaultAdmin Role = "vault-admin"
	// RoleUpstream is a system that says what is to be done, for one organisation.
	RoleUpstream Role = "upstream"
	// RoleReader is whoever is told what happens in one organisation, and RoleReaderAdmin
	// who declares what that reads.
	RoleReader      Role = "reader"
	RoleReaderAdmin Role = "reader-admin"
)

// allReplies are where upstream systems of all organisations are told what became of what
// they asked for.
const allReplies = events.Root + ".reply.*.*"

// The lists of who shares work, by who does.
const (
	leaseScheduler = prefixLeases + "scheduler"
	leaseStatus    = prefixLeases + "status"
)

// What a reader reads in its own account: copies, with names of their own, lest what the
// server says of a consumer of one do as the request for a consumer of the other.
const (
	// ReaderEvents is the stream of the events of an organisation.
	ReaderEvents = "ORG_EVENTS"
	// ReaderStatus is the KV bucket of the status of its secrets.
	ReaderStatus = "org_status"
)

// Permission is something that a role may do, and the subjects that it takes.
type Permission struct {
	What      string
	Publish   []string
	Subscribe []string
}

// Permissions returns all that a role may, for roles of an organisation in that one. Nil
// is for the roles that may everything in their account.
func Permissions(role Role, org string) []Permission {
	var may []Permission
	switch role {
	case RoleAPI:
		may = apiPermissions()
	case RoleScheduler:
		may = schedulerPermissions()
	case RoleExchanger:
		may = exchangerPermissions()
	case RoleVault:
		may = vaultPermissions()
	case RoleUpstream:
		may = upstreamPermissions(org)
	case RoleReader:
		may = readerPermissions()
	default:
		return nil
	}
	return append(may, Permission{What: "be answered by the server", Subscribe: []string{inboxOf(role) + ".>"}})
}

// Denied returns what a role may not publish, though a permission of it says so.
func Denied(role Role) []string {
	if role == RoleAPI {
		return []string{prefixOf(state.Main) + "keyset.>", prefixOf(state.Main) + "registration.>"}
	}
	return nil
}

// Answers reports whether a role answers what it is asked, wherever the answer is to go.
func Answers(role Role) bool { return role == RoleAPI }

func apiPermissions() []Permission {
	main, deliveries := prefixOf(state.Main), prefixOf(state.Deliveries)
	return []Permission{{
		What: "see that its streams are there, and what time it is",
		Publish: infoOf(streamOf(state.Main), streamOf(state.Deliveries), streamStatus, streamLeases, streamEvents, streamJobs,
			streamAudit, streamParked, streamIntake),
	}, {
		What: "read, follow and write the state, but for the vault and what is known of hosts",
		Publish: slices.Concat(
			lastOf(streamOf(state.Main), main+">"), tailing(streamOf(state.Main), ""), []string{main + ">"},
			lastOf(streamOf(state.Deliveries), deliveries+">"), tailing(streamOf(state.Deliveries), ""), []string{deliveries + ">"},
		),
	}, {
		What: "say how secrets stand, and share that with other api processes",
		Publish: slices.Concat(lastOf(streamStatus, prefixStatus+">"), tailing(streamStatus, ""),
			[]string{prefixStatus + ">", leaseStatus, "$JS.API.STREAM.MSG.GET." + streamLeases}),
	}, {
		What:      "offer jobs, and be answered",
		Publish:   []string{events.AllJobs},
		Subscribe: []string{events.Root + ".answer.*"},
	}, {
		What: "announce, read and hear events",
		Publish: slices.Concat([]string{events.AllEvents}, rangeOf(streamEvents, events.AllEvents), tailing(streamEvents, ""),
			consumer(streamEvents, consumerAudit)),
	}, {
		What: "write and read the audit trail, and be told of its pages",
		Publish: slices.Concat([]string{events.AllAudit}, rangeOf(streamAudit, events.AllAudit), tailing(streamAudit, ""),
			consumer(streamAudit, "*")),
	}, {
		What: "list, look at and discard what is parked",
		Publish: slices.Concat(rangeOf(streamParked, events.AllParked), tailing(streamParked, ""),
			[]string{"$JS.API.CONSUMER.DELETE." + streamParked + ".*", "$JS.API.STREAM.MSG.DELETE." + streamParked}),
	}, {
		What: "take in what upstream systems say, erase what is refused, and answer",
		Publish: slices.Concat(tailing(streamIntake, ""), consumer(streamIntake, "*"),
			[]string{"$JS.API.STREAM.MSG.DELETE." + streamIntake, "$JS.API.STREAM.MSG.GET." + streamIntake, allReplies}),
	}, {
		What:      "serve the public keyset",
		Subscribe: []string{events.KeysetSubject},
	}}
}

func schedulerPermissions() []Permission {
	return []Permission{{
		What:    "see that its streams are there, what time it is, and how much is waiting",
		Publish: slices.Concat(infoOf(streamOf(state.Main), streamOf(state.Hosts), streamLeases, streamJobs, streamParked, streamIntake), []string{consumerInfo(streamJobs, consumerExchanger), consumerInfo(streamEvents, consumerAudit)}),
	}, {
		What:    "follow the records of secrets, which hold nothing sealed",
		Publish: tailing(streamOf(state.Main), prefixOf(state.Main)+state.SecretKey("*")),
	}, {
		What:    "follow how hosts fare",
		Publish: tailing(streamOf(state.Hosts), prefixOf(state.Hosts)+state.EndpointKeys),
	}, {
		What:    "offer jobs",
		Publish: []string{events.AllJobs},
	}, {
		What:    "share the work with other schedulers",
		Publish: []string{leaseScheduler, "$JS.API.STREAM.MSG.GET." + streamLeases},
	}}
}

func exchangerPermissions() []Permission {
	main, hosts := prefixOf(state.Main), prefixOf(state.Hosts)
	var read, write []string
	for _, kind := range []string{"secret", "credential", "consent", "name", "property", "environment", "registration", "keyset"} {
		read = append(read, main+kind+".>")
	}
	for _, kind := range []string{"secret", "credential", "consent", "name", "registration", "keyset"} {
		write = append(write, main+kind+".>")
	}
	return []Permission{{
		What:    "see that its streams are there, and what time it is",
		Publish: infoOf(streamOf(state.Main), streamOf(state.Hosts), streamJobs),
	}, {
		What:    "take jobs",
		Publish: consumer(streamJobs, consumerExchanger),
	}, {
		What:    "read what it works on, and write what came of it",
		Publish: slices.Concat(lastOf(streamOf(state.Main), read...), write),
	}, {
		What:    "list secrets, to export them",
		Publish: tailing(streamOf(state.Main), main+state.SecretKey("*")),
	}, {
		What:    "say how hosts fare, and follow what others say",
		Publish: slices.Concat(lastOf(streamOf(state.Hosts), hosts+">"), tailing(streamOf(state.Hosts), hosts+state.EndpointKeys), []string{hosts + ">"}),
	}, {
		What:    "announce events, park jobs, answer who asked",
		Publish: []string{events.AllEvents, events.Root + ".parked." + laneJob + ".*", events.Root + ".answer.*"},
	}}
}

func vaultPermissions() []Permission {
	vault := prefixOf(state.Vault)
	return []Permission{{
		What:    "read and write grants and artifacts",
		Publish: slices.Concat(infoOf(streamOf(state.Vault)), lastOf(streamOf(state.Vault), vault+">"), []string{vault + ">"}),
	}}
}

func upstreamPermissions(org string) []Permission {
	answers := answersOf(org)
	return []Permission{{
		What:    "say what is to be done in its organisation",
		Publish: []string{intake.SubjectsOf(org)},
	}, {
		What:      "be told what became of it",
		Publish:   lastOf(streamEvents, answers...),
		Subscribe: append([]string{intake.RepliesTo(org)}, answers...),
	}, {
		What:    "ask for the public keyset",
		Publish: []string{events.KeysetSubject},
	}}
}

func readerPermissions() []Permission {
	status := "KV_" + ReaderStatus
	var every []string
	for _, stream := range []string{ReaderEvents, status} {
		every = slices.Concat(every, infoOf(stream), []string{
			"$JS.API.CONSUMER.*." + stream + ".>", "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*", "$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".*",
			"$JS.API.STREAM.MSG.GET." + stream, "$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>", "$JS.ACK." + stream + ".>",
		}, flowOf(stream))
	}
	return []Permission{{
		What:    "read, replay and follow its copies of the events and the status of its organisation",
		Publish: append(every, "$JS.API.CONSUMER.CREATE."+ReaderEvents, "$JS.API.CONSUMER.CREATE."+status, "$JS.API.INFO"),
	}, {
		What:    "ask for the public keyset",
		Publish: []string{events.KeysetSubject},
	}}
}

// answersOf are the subjects of the events that say what became of what upstream systems said.
func answersOf(org string) []string {
	return []string{
		eventsOf(org) + string(events.TypeAccepted) + ".*",
		eventsOf(org) + string(events.TypeRejected) + ".*",
	}
}

// eventsOf begins the subjects of all events of an organisation.
func eventsOf(org string) string { return events.Root + ".event." + events.Token(org) + "." }

// The requests of JetStream. Those that name no subject tell of all that a stream has.

func infoOf(streams ...string) (subjects []string) {
	for _, s := range streams {
		subjects = append(subjects, "$JS.API.STREAM.INFO."+s)
	}
	return subjects
}

// lastOf is to read the last message of subjects.
func lastOf(stream string, of ...string) (subjects []string) {
	for _, s := range of {
		subjects = append(subjects, "$JS.API.DIRECT.GET."+stream+"."+s)
	}
	return subjects
}

// rangeOf is to read any message of a stream, and the last of subjects.
func rangeOf(stream, of string) []string {
	return append(lastOf(stream, of), "$JS.API.DIRECT.GET."+stream)
}

// tailing is to have a consumer of one's own, of subjects or, with "", of all.
func tailing(stream, subjects string) []string {
	next := "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*"
	if subjects == "" {
		return []string{"$JS.API.CONSUMER.CREATE." + stream + ".>", next}
	}
	return []string{"$JS.API.CONSUMER.CREATE." + stream + ".*." + subjects, next}
}

// consumer is to take from a durable consumer.
func consumer(stream, name string) []string {
	return []string{
		consumerInfo(stream, name), "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name, "$JS.ACK." + stream + "." + name + ".>",
	}
}

// flowOf is to tell the server that what it pushes is taken, in the two forms that it may
// ask for.
func flowOf(stream string) []string {
	return []string{"$JS.FC." + stream + ".>", "$JS.FC.*.*." + stream + ".>"}
}

func consumerInfo(stream, name string) string { return "$JS.API.CONSUMER.INFO." + stream + "." + name }

// inboxOf begins the subjects where the server's answers to a role go: no role may listen
// to those of another in its account. Strangers have their accounts to themselves, and what
// every client of NATS does without being told.
func inboxOf(role Role) string {
	if role == RoleUpstream || role == RoleReader {
		return "_INBOX"
	}
	return "_INBOX." + string(role)
}

// vaultOf is who a role is in the account of the vault.
func vaultOf(role Role) Role {
	switch role {
	case RoleExchanger:
		return RoleVault
	case RoleAdmin:
		return RoleVaultAdmin
	default:
		return role
	}
}

// buckets are those that a role has to do with.
func (r Role) buckets() []state.Bucket {
	switch r {
	case RoleAPI:
		return []state.Bucket{state.Main, state.Deliveries}
	case RoleScheduler:
		return []state.Bucket{state.Main, state.Hosts}
	case RoleExchanger:
		return []state.Bucket{state.Main, state.Hosts, state.Vault}
	default:
		return state.Buckets()
	}
}

// streams are those that a role has to do with besides its buckets.
func (r Role) streams() []string {
	switch r {
	case RoleAPI:
		return []string{streamStatus, streamLeases, streamEvents, streamJobs, streamAudit, streamParked, streamIntake}
	case RoleScheduler:
		return []string{streamLeases, streamJobs}
	default:
		return []string{streamJobs}
	}
}

// declares reports whether a role declares streams. The others find them there.
func (r Role) declares() bool { return r == "" || r == RoleAdmin }

// needs says who it is that needs something.
func (r Role) needs() string {
	if r == "" {
		return "the fleet needs"
	}
	return "the role " + string(r) + " needs"
}
