package provider

import (
	"cmp"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxLifetime is the longest a lifetime is believed: beyond it somebody has
// mistaken the unit.
const maxLifetime = 10 * 365 * 24 * time.Hour

// read returns what an answer says of the end of its access token. Numbers may
// be texts and have fractions; what is not a time, not positive or null counts
// as not said, for it never means "expired now".
func (e Expiry) read(grant map[string]any, accessToken string) (time.Duration, time.Time) {
	if e.Fixed > 0 {
		return e.Fixed, time.Time{}
	}
	v, _ := at(grant, cmp.Or(e.Field, "expires_in"))
	text, _ := scalar(v)
	var lifetime time.Duration
	switch e.Unit {
	case UnitText:
		if d, err := time.ParseDuration(text); err == nil {
			lifetime = min(max(d, 0), maxLifetime)
		}
	case UnitMilliseconds:
		lifetime = span(text, time.Millisecond)
	default:
		lifetime = span(text, time.Second)
	}
	v, _ = at(grant, e.At)
	text, _ = scalar(v)
	return lifetime, earliest(moment(text), expOf(accessToken))
}

// seconds reads a lifetime in seconds; 0 is not said.
func seconds(object map[string]any, path string) time.Duration {
	v, _ := at(object, path)
	text, _ := scalar(v)
	return span(text, time.Second)
}

// span reads a number of units, rounded down to whole seconds.
func span(text string, unit time.Duration) time.Duration {
	n, ok := number(text)
	if !ok || n <= 0 {
		return 0
	}
	d := time.Duration(min(n*float64(unit), float64(maxLifetime)))
	return d.Truncate(time.Second)
}

// number reads a decimal. It keeps out what strconv would take besides:
// hexadecimals, underscores, infinities and "not a number".
func number(text string) (float64, bool) {
	if text == "" || len(text) > 32 || strings.Trim(text, "-+.eE0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && !math.IsInf(n, 0)
}

// millisecondsFrom is the number from which a moment counts milliseconds: as
// seconds it would be in the year 5138, as milliseconds it is in 1973.
const millisecondsFrom = 1e11

// moment reads a point in time: seconds or milliseconds since 1970, or RFC 3339.
func moment(text string) time.Time {
	n, ok := number(text)
	switch {
	case !ok:
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return time.Time{}
		}
		return t.UTC()
	case n < 1 || n >= millisecondsFrom*1000:
		return time.Time{}
	case n >= millisecondsFrom:
		return time.UnixMilli(int64(n)).UTC()
	default:
		return time.Unix(int64(n), 0).UTC()
	}
}

// earliest of those that are not zero.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expOf returns the exp of an access token that is a JWT (RFC 7519 section
// 4.1.4), unverified: the worst it can do is a refresh too early.
func expOf(token string) time.Time {
	text, _ := scalar(claims(token)["exp"])
	return moment(text)
}

// claims returns the payload of a JWT that came straight from its issuer over
// TLS, which stands in for its signature (OpenID Connect Core section 3.1.3.7);
// nil for anything else.
func claims(token string) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	object, err := parseAnswer("application/json", payload)
	if err != nil {
		return nil
	}
	return object
}
