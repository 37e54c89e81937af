package callback

import (
	"net/url"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/services/api"
)

// The bounds of a query, in bytes. Providers' codes and states are far shorter.
const (
	maxQuery = 16 << 10
	maxParam = 4 << 10
	maxState = 512
)

// readQuery reads a redirect, or reports that it is none: it has a state and
// either a code or an error, and no parameter twice (RFC 6749 section 3.1). What
// is in names is read as the parameter that it stands for.
func readQuery(query string, names map[string]string) (api.Consent, bool) {
	if len(query) > maxQuery {
		return api.Consent{}, false
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return api.Consent{}, false
	}
	params := make(map[string]string, len(values))
	for name, all := range values {
		if len(all) > 1 || len(name) > maxParam || len(all[0]) > maxParam {
			return api.Consent{}, false
		}
		if ours, renamed := names[name]; renamed {
			name = ours
		}
		if _, again := params[name]; again {
			return api.Consent{}, false
		}
		params[name] = all[0]
	}
	c := api.Consent{State: params["state"], Error: params["error"], Params: params}
	code := params["code"]
	if c.State == "" || len(c.State) > maxState || (code == "") == (c.Error == "") {
		return api.Consent{}, false
	}
	if code != "" {
		c.Code = seal.NewPlaintext(code)
	}
	for _, name := range []string{"state", "code", "error"} {
		delete(params, name)
	}
	return c, true
}
