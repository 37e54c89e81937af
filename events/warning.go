package events

// Warning is something that an exchange noticed which is no failure, but which
// somebody should know. It stands until an exchange no longer notices it.
type Warning struct {
	Code WarningCode `json:"code"`
	// Detail says it in a sentence of our own, without its full stop.
	Detail string `json:"detail"`
}

// WarningCode is what a warning is about: a closed set, for people to alert on.
type WarningCode string

// The warnings.
const (
	// WarningRotationLeftOut: a provider that replaces refresh tokens gave none.
	WarningRotationLeftOut WarningCode = "rotation_left_out"
	// WarningRefreshTokenKept: a consent brought no refresh token, and that of the
	// consent before serves on.
	WarningRefreshTokenKept WarningCode = "refresh_token_kept"
	// WarningShortLife: the token lives so short that little may go wrong.
	WarningShortLife WarningCode = "short_life"
	// WarningFewerScopes: fewer scopes were granted than asked for.
	WarningFewerScopes WarningCode = "fewer_scopes"
	// WarningClockSkew: a provider's clock is far from the exchanger's.
	WarningClockSkew WarningCode = "clock_skew"
	// WarningAccountLimit: an account has nearly as many grants as it may have. The
	// api notices it, where all secrets are seen; no event has it.
	WarningAccountLimit WarningCode = "account_limit"
)

// WarningCodes lists the closed set.
func WarningCodes() []WarningCode {
	return []WarningCode{WarningRotationLeftOut, WarningRefreshTokenKept, WarningShortLife, WarningFewerScopes, WarningClockSkew, WarningAccountLimit}
}
