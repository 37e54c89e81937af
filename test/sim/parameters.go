package main

import "time"

// What was measured on two cores with NATS and file storage, in the study that
// preceded the code; docs/adr/0008 has the first two. Tests do not depend on them.
const (
	indexReplay  = 5700 * time.Millisecond // to build the index of a million secrets
	r3Writes     = 5700.                   // compare-and-swaps a second on a stream of three replicas, servers sharing two cores
	leaderOutMin = 5 * time.Second         // a stream's leader killed: what clients see
	leaderOutMax = 10 * time.Second
)

// What the code says.
const (
	publishers   = 64                      // services/scheduler: offers under way
	failurePause = time.Second             // services/scheduler: after an offer has failed
	workers      = 256                     // services/exchanger: jobs at a time
	shareOut     = 3500 * time.Millisecond // pkg/bus: until the share of a dead scheduler is offered again, 1.5 to 3.5 s
	ackWait      = 4 * time.Second         // pkg/bus: until a dead exchanger's job comes again
	stateWrites  = 4                       // docs/refresh-cycle.md: claim, grant, artifact, record
	shortWindow  = 30 * time.Minute        // contract A11: between refreshes, oauth2-jwt and Google
	longWindow   = 4 * time.Hour           // contract A11: between refreshes, oauth2
	indexEntry   = 150                     // services/scheduler/index.go: bytes for each secret
)

// Assumptions.
const (
	fleet        = 100_000_000
	regionCount  = 3
	organised    = 100_000    // organisations
	largest      = 10_000_000 // secrets of the largest
	shortShare   = 0.30       // secrets that are refreshed each shortWindow
	longShare    = 0.60       // each longWindow; the others never
	rotating     = 0.05       // of shortWindow; each refresh token dies with its use
	cellSize     = 1_000_000  // secrets of a cell: as many as were measured
	recordSize   = 1500       // bytes of a record: the measured ones had as many
	records      = 5          // records of a secret
	zoneTrip     = 1500 * time.Microsecond
	regionTrip   = 80 * time.Millisecond
	mirrorLag    = 200 * time.Millisecond
	exchangeMin  = 50 * time.Millisecond
	exchangeMean = 150 * time.Millisecond // above the least
	exchangers   = 2                      // of a cell
	schedulers   = 2                      // of a cell, with as many hosts each
	coldStart    = 10 * time.Second       // to start a process elsewhere
	regionLease  = 30 * time.Second       // how long a region is silent until it is given up
	laneLimit    = 192                    // exchanges of one client at a time: 3/4 of an exchanger
)

// perSecond is how many refreshes a second so many secrets make.
func perSecond(secrets float64) float64 {
	return secrets * (shortShare/shortWindow.Seconds() + longShare/longWindow.Seconds())
}

func parameters() table {
	t := table{name: "parameters", head: []string{"figure", "value", "from"}}
	const study, code, assumed = "measured, study before the code", "the code", "**assumed**"
	t.add("compare-and-swaps a second, stream of 3 replicas", count(r3Writes), study)
	t.add("a stream's leader killed", short(leaderOutMin)+" to "+short(leaderOutMax), study)
	t.add("share of a dead scheduler offered again", "up to "+short(shareOut), "[ADR 27](adr/0027-shared-schedule.md)")
	t.add("index of a million secrets built", short(indexReplay), "[ADR 8](adr/0008-due-index.md)")
	t.add("job of a dead exchanger comes again", short(ackWait), code)
	t.add("jobs at a time in an exchanger", count(workers), code)
	t.add("writes to the state for each refresh", count(stateWrites), "[refresh cycle](refresh-cycle.md)")
	t.add("records of a secret, bytes each", count(records)+" × "+count(recordSize), assumed)
	t.add("refreshed every 30 min, every 4 h, never", "30 %, 60 %, 10 %", assumed+", with the shortest intervals that contract A11 allows")
	t.add("refresh tokens that die with their use", "5 %, every 30 min", assumed)
	t.add("organisations, secrets of the largest", count(organised)+", "+count(largest), assumed)
	t.add("round trip between zones, between regions", short(zoneTrip)+", "+short(regionTrip), assumed)
	t.add("mirror behind its origin", short(mirrorLag), assumed)
	t.add("an exchange", "50 ms, and 150 ms more on average", assumed)
	t.add("silence after which a region is given up", short(regionLease), assumed)
	t.add("exchanges of one client at a time in a cell", count(laneLimit), assumed)
	return t
}
