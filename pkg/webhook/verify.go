package webhook

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// leastKey is the least length of a key, in bytes: that of Standard Webhooks. A receiver
// that was given no secret must not take what anybody can sign with none.
const leastKey = 24

// tolerance is how much the clocks of sender and receiver may differ.
const tolerance = 5 * time.Minute

// ErrUnsigned says that what came is not what was sent, or not by us, or not now.
var ErrUnsigned = errors.New("the message is not signed with the secret, or its time is not now")

// Verify is what a receiver does: it reports whether a message was signed with the secret,
// which is as [Secret.Reveal] writes it, and lately. Receivers in Go can take it as it is;
// docs/callbacks.md has it in other languages.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) < leastKey {
		return ErrUnsigned
	}
	seconds, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || at.Sub(now).Abs() > tolerance {
		return ErrUnsigned
	}
	want := Secret{key}.Sign(h.Get("Webhook-Id"), at, body)
	for got := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return ErrUnsigned
}
