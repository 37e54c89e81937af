package reactor

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The media types of the API (contract A1).
const (
	jsonAPI   = "application/vnd.api+json"
	plainJSON = "application/json"
)

// negotiate refuses a request whose answer the client would not take, or whose
// body is of another media type than the API's, or encoded (contract A1).
func negotiate(r *http.Request, media string) error {
	if !acceptable(r.Header.Values("Accept"), media) {
		if media == eventStream {
			return errNotStream
		}
		return errNotAcceptable
	}
	if !sends(r) {
		return nil
	}
	sent, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || sent != jsonAPI && sent != plainJSON {
		return errMediaType
	}
	if encoded(r.Header.Values("Content-Encoding")) {
		return errEncoding
	}
	return nil
}

// sends reports whether what a request sends is looked at. Some that may send something
// have nothing to send; of those that delete, a few have, and others name a media type all
// the same.
func sends(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPatch, http.MethodPut:
		return r.ContentLength != 0 || r.Header.Get("Content-Type") != ""
	case http.MethodDelete:
		return r.ContentLength != 0
	default:
		return false
	}
}

// encoded reports whether a Content-Encoding header tells of any coding at all
// (RFC 9110, section 8.4).
func encoded(codings []string) bool {
	for coding := range strings.SplitSeq(strings.Join(codings, ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// acceptable reports whether an Accept header admits a media type. The most
// specific range decides (RFC 9110, section 12.5.1).
func acceptable(accept []string, media string) bool {
	header := strings.Join(accept, ",")
	if strings.TrimSpace(header) == "" {
		return true
	}
	best, ok := 0, false
	for part := range strings.SplitSeq(header, ",") {
		specific, admitted := rangeOf(part, media)
		switch {
		case specific > best:
			best, ok = specific, admitted
		case specific == best:
			ok = ok || admitted
		}
	}
	return best > 0 && ok
}

// rangeOf tells how specifically a media range means a type, 0 for not at all, and
// whether it admits it.
func rangeOf(part, meant string) (specific int, admitted bool) {
	media, params, err := mime.ParseMediaType(part)
	if err != nil {
		return 0, false
	}
	revision, revised := params["revision"]
	family, _, _ := strings.Cut(meant, "/")
	switch {
	case media == "*/*":
		specific = 1
	case media == family+"/*":
		specific = 2
	case media == meant && !revised:
		specific = 3
	case media == meant && revision == "1":
		specific = 4
	}
	q, err := strconv.ParseFloat(params["q"], 64)
	return specific, err != nil || q > 0
}

const (
	// headerPurpose is where a caller may say what a request is for; the audit trail notes
	// it. It is an addition to the contract.
	headerPurpose = "X-Rekindle-Purpose"
	maxPurpose    = 256 // bytes
)

// purposeOf returns what a request is said to be for, "" when nothing is said.
func purposeOf(h http.Header) (string, error) {
	said := h.Values(headerPurpose)
	if len(said) == 0 {
		return "", nil
	}
	purpose := strings.TrimSpace(said[0])
	if len(said) > 1 || len(purpose) > maxPurpose || !utf8.ValidString(purpose) || strings.ContainsFunc(purpose, unicode.IsControl) {
		return "", errPurpose
	}
	return purpose, nil
}
