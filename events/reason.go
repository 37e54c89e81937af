package events

// Reason is why an exchange failed: a closed set, so that people can alert and
// programs can branch on it. What a provider said is never passed on.
type Reason string

// The reasons.
const (
	// ReasonUnreachable: no connection to the token endpoint could be made.
	ReasonUnreachable Reason = "unreachable"
	// ReasonNoSuchHost: the token endpoint's host name does not resolve.
	ReasonNoSuchHost Reason = "no_such_host"
	// ReasonUntrusted: the TLS handshake or the certificate was not acceptable.
	ReasonUntrusted Reason = "untrusted"
	// ReasonAddressRefused: the token endpoint's address is not one that this
	// deployment allows.
	ReasonAddressRefused Reason = "address_refused"
	// ReasonTimeout: no complete answer came in time.
	ReasonTimeout Reason = "timeout"
	// ReasonDisconnected: the connection broke after the request was sent.
	ReasonDisconnected Reason = "disconnected"
	// ReasonRedirected: the answer was a redirect, which is not followed.
	ReasonRedirected Reason = "redirected"
	// ReasonTooLarge: the answer was longer than is read.
	ReasonTooLarge Reason = "too_large"
	// ReasonRejected: the provider refused the credentials or the request.
	ReasonRejected Reason = "rejected"
	// ReasonGrantEnded: the provider no longer accepts the refresh token: a person
	// has to authorize the secret again.
	ReasonGrantEnded Reason = "grant_ended"
	// ReasonAdminPolicy: the administrator of the account's organisation forbids it,
	// or ends it from time to time: nobody else can help.
	ReasonAdminPolicy Reason = "admin_policy"
	// ReasonAppRefused: the provider refused the app itself, its id, its secret or
	// what it may ask for: the app's registration needs mending.
	ReasonAppRefused Reason = "app_refused"
	// ReasonNotRegistered: no app is registered here for the provider.
	ReasonNotRegistered Reason = "not_registered"
	// ReasonConsentRefused: the person or the provider refused in the dialog.
	ReasonConsentRefused Reason = "consent_refused"
	// ReasonNoRefreshToken: the consent yielded no refresh token, although the
	// provider issues one with every consent.
	ReasonNoRefreshToken Reason = "no_refresh_token"
	// ReasonThrottled: the provider asked for fewer requests.
	ReasonThrottled Reason = "throttled"
	// ReasonProviderError: the provider failed (a 5xx or another unexpected status).
	ReasonProviderError Reason = "provider_error"
	// ReasonMalformed: the answer is not the JSON of a token response.
	ReasonMalformed Reason = "malformed"
	// ReasonNoLifetime: the answer has no usable expires_in.
	ReasonNoLifetime Reason = "no_lifetime"
	// ReasonWindow: the token breaks the validity windows.
	ReasonWindow Reason = "window"
	// ReasonCannotOpen: the stored credentials could not be opened.
	ReasonCannotOpen Reason = "cannot_open"
	// ReasonUnknown: the exchange was interrupted, and nobody knows how it ended.
	ReasonUnknown Reason = "unknown"
	// ReasonUnsupported: the exchanger does not know how to exchange this kind,
	// or failed by a fault of its own.
	ReasonUnsupported Reason = "unsupported"
)

// Reasons lists the closed set.
func Reasons() []Reason {
	return []Reason{
		ReasonUnreachable, ReasonNoSuchHost, ReasonUntrusted, ReasonAddressRefused,
		ReasonTimeout, ReasonDisconnected, ReasonRedirected, ReasonTooLarge,
		ReasonRejected, ReasonGrantEnded, ReasonAdminPolicy, ReasonAppRefused, ReasonNotRegistered,
		ReasonConsentRefused, ReasonNoRefreshToken, ReasonThrottled,
		ReasonProviderError, ReasonMalformed, ReasonNoLifetime, ReasonWindow,
		ReasonCannotOpen, ReasonUnknown, ReasonUnsupported,
	}
}
