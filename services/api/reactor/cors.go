package reactor

import (
	"net/http"
	"slices"
)

// What pages of other origins may send, and see of an answer (contract A1): the
// headers of the contract, and those that clients send besides.
const (
	corsMethods = "GET, POST, PATCH, PUT, DELETE"
	corsHeaders = "Authorization, X-Api-Key, X-Gw-Ims-Org-Id, Accept, Content-Type, Cache-Control, If-Match, " + headerKey + ", " + headerLastEvent + ", " + headerPurpose
	corsExposed = "X-Request-Id, Retry-After, ETag, " + headerReplayed
	corsMaxAge  = "600" // seconds that a browser need not ask again
)

// cors lets pages of the allowed origins read the answer, and reports whether it
// was the answer itself: to the question whether they may ask (Fetch, section
// 3.2.2). Cookies are never allowed: there are none.
func (d *door) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(d.origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(d.origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}
