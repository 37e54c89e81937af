package events

// Verdict is what follows from the reason of a failure: a closed set.
type Verdict string

// The verdicts.
const (
	// Retry: it may pass by itself; the schedule tries again.
	Retry Verdict = "retry"
	// Wait: the provider asked for patience and is given it.
	Wait Verdict = "wait"
	// NeedsConfiguration: somebody has to mend the secret's settings, the app's
	// registration or the deployment.
	NeedsConfiguration Verdict = "needs_configuration"
	// NeedsHuman: a person has to consent again, at [ReasonAdminPolicy] after the
	// administrator of the account has acted.
	NeedsHuman Verdict = "needs_human"
	// Unknown: nobody knows what the provider did.
	Unknown Verdict = "unknown"
)

// Verdict is what follows from the reason; NeedsConfiguration for one of a newer
// version, so that somebody looks.
func (r Reason) Verdict() Verdict {
	switch r {
	case ReasonUnreachable, ReasonTimeout, ReasonDisconnected, ReasonProviderError, ReasonMalformed, ReasonTooLarge:
		return Retry
	case ReasonThrottled:
		return Wait
	case ReasonGrantEnded, ReasonAdminPolicy, ReasonConsentRefused, ReasonNoRefreshToken:
		return NeedsHuman
	case ReasonUnknown:
		return Unknown
	default:
		return NeedsConfiguration
	}
}
