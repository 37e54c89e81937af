package exchanger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/events"
)

// described adds to why a request failed what its answer can be known by, if that
// is no answer of a token endpoint: a page of a proxy, a firewall, a web server.
func (r TokenRequest) described(err error, got response) error {
	e, ok := errors.AsType[*ExchangeError](err)
	if !ok || !slices.Contains([]events.Reason{events.ReasonMalformed, events.ReasonProviderError, events.ReasonRejected}, e.Reason) {
		return err
	}
	media, _, _ := mime.ParseMediaType(got.header.Get("Content-Type")) //nolint:errcheck // then it is of another type
	if len(bytes.TrimSpace(got.body)) > 0 && !json.Valid(got.body) && media != "application/x-www-form-urlencoded" {
		e.Detail += " (the answer: " + excerpt(media, got.body, r.sent()) + ")"
	}
	return e
}

// sent is what the request consists of, in a text that cannot be overwritten; it
// is for an answer that is no token response, and gone with it.
func (r TokenRequest) sent() []string {
	all := append(slices.Collect(maps.Values(r.Options)), r.ClientID)
	for _, hidden := range append([]Field{{Value: r.ClientSecret}}, r.Fields...) {
		revealed := hidden.Value.Reveal()
		all = append(all, string(revealed))
		if hidden.Name == "" {
			all = append(all, r.ClientID+":"+string(revealed)) // RFC 6749 section 2.3.1
		}
		clear(revealed)
	}
	return all
}

// excerpt is what people can know an answer by: its type, its length, the beginning
// of its hash and, of a page, its title, of which no more is shown than words.
func excerpt(media string, body []byte, sent []string) string {
	if !slices.Contains([]string{"text/html", "text/plain", "text/xml", "application/xml", "application/xhtml+xml", "application/json"}, media) {
		media = "of another type"
	}
	said := fmt.Sprintf("%s, %d bytes", media, len(body))
	if sum := sha256.Sum256(body); !echoes(body, sent) {
		said += fmt.Sprintf(", sha256 %x", sum[:4])
	}
	if words := title(body, sent); words != "" {
		said += fmt.Sprintf(", titled %q", words)
	}
	return said
}

// echoes reports whether an answer has in it something that was sent: then its hash
// would tell a good guess at that from a bad one.
func echoes(body []byte, sent []string) bool {
	return slices.ContainsFunc(sent, func(secret string) bool {
		return secret != "" && slices.ContainsFunc([]string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
			strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		}, func(form string) bool { return bytes.Contains(body, []byte(form)) })
	})
}

// Bounds of a title, in bytes to look in, and in runes.
const (
	maxTitleAt = 16 << 10
	maxTitle   = 80
	maxWord    = 14
)

// hiddenWord stands for those of a title that are not shown.
const hiddenWord = "…"

// title is that of a page, without what may be a credential; empty if there is
// none, or nothing of it can be shown.
func title(body []byte, sent []string) string {
	page := strings.ToValidUTF8(string(body[:min(len(body), maxTitleAt)]), "\uFFFD")
	_, rest, found := cutFold(page, "<title")
	_, rest, open := strings.Cut(rest, ">")
	text, _, closed := cutFold(rest, "</title")
	if !found || !open || !closed {
		return ""
	}
	var words []string
	shown, size := false, 0
	for word := range strings.FieldsSeq(html.UnescapeString(text)) {
		if !harmless(word, sent) {
			word = hiddenWord
		}
		if size += utf8.RuneCountInString(word) + 1; size > maxTitle {
			break
		}
		shown = shown || word != hiddenWord
		if len(words) == 0 || word != hiddenWord || words[len(words)-1] != hiddenWord {
			words = append(words, word)
		}
	}
	if !shown {
		return ""
	}
	return strings.Join(words, " ")
}

// cutFold is strings.Cut for a separator in lower-case ASCII letters, whatever the
// case in s.
func cutFold(s, sep string) (before, after string, found bool) {
	for i := range len(s) - len(sep) + 1 {
		if strings.EqualFold(s[i:i+len(sep)], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

// harmless reports whether a word is one of prose, or a short number, and is no
// part of what was sent. Tokens have digits in them, or capitals in the middle.
func harmless(word string, sent []string) bool {
	bare := strings.Trim(word, ".,:;!?()|-–—«»\"'")
	if slices.ContainsFunc(sent, func(secret string) bool {
		return secret != "" && bare != "" && (strings.EqualFold(secret, bare) ||
			len(bare) > 3 && strings.Contains(strings.ToLower(secret), strings.ToLower(bare)))
	}) {
		return false
	}
	first, size := utf8.DecodeRuneInString(bare)
	other := func(in func(rune) bool) bool {
		return strings.ContainsFunc(bare, func(r rune) bool { return !in(r) })
	}
	switch {
	case size == 0:
		return len(word) <= 3
	case len(bare) <= 3 && !other(unicode.IsDigit), len(bare) <= 5 && !other(unicode.IsUpper):
		return true
	default:
		rest := bare[size:]
		return unicode.IsLetter(first) && utf8.RuneCountInString(bare) <= maxWord &&
			!strings.ContainsFunc(rest, func(r rune) bool { return !unicode.IsLetter(r) || unicode.IsUpper(r) })
	}
}
