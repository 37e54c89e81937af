package exchanger

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the longest a provider's Retry-After is believed.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads the header in both its forms (RFC 9110 section 10.2.3), a date
// by the provider's clock, and in those that are seen besides: fractions, lists,
// other dates. Of several the longest counts. What cannot be read is absent.
func retryAfter(header http.Header) (longest time.Duration) {
	for _, value := range header.Values("Retry-After") {
		if at, ok := httpDate(value); ok {
			longest = max(longest, at.Sub(answeredAt(header)))
			continue
		}
		for item := range strings.SplitSeq(value, ",") {
			longest = max(longest, pause(item))
		}
	}
	return min(longest, maxRetryAfter)
}

// pause reads a number of seconds; 0 is not said.
func pause(text string) time.Duration {
	text = strings.Trim(text, " \t\"")
	if strings.Trim(text, ".0123456789") != "" {
		return 0 // what strconv would take besides
	}
	seconds, err := strconv.ParseFloat(text, 64) // out of range, it is infinite
	if err != nil && seconds == 0 {
		return 0
	}
	return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
}

// httpDate reads a date of HTTP, of mail (RFC 5322), or of RFC 3339.
func httpDate(text string) (time.Time, bool) {
	text = strings.Trim(text, " \t\"")
	if at, err := http.ParseTime(text); err == nil {
		return at, true
	}
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 UTC", time.RFC1123Z, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// answeredAt is the time of the provider's clock when it answered, so that the
// two clocks need not agree; of ours when it does not say.
func answeredAt(header http.Header) time.Time {
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}
