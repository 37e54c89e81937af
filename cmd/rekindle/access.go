package main

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// authSettings are what the file says of whose tokens are taken.
type authSettings struct {
	OIDC []issuerSettings `yaml:"oidc"`
}

// issuerSettings is an OpenID provider; see auth.Issuer.
type issuerSettings struct {
	Issuer            string `yaml:"issuer"`
	Audience          string `yaml:"audience"`
	Organisation      string `yaml:"organisation"`
	OrganisationClaim string `yaml:"organisation_claim"`
	RightsClaim       string `yaml:"rights_claim"`
	// Rights are what the words of the claim mean: rights, or all, or read.
	Rights     map[string][]string `yaml:"rights"`
	EmailClaim string              `yaml:"email_claim"`
	NameClaim  string              `yaml:"name_claim"`
	Loopback   bool                `yaml:"loopback"`
}

// limitsSettings are what the file says of how often requests are admitted.
type limitsSettings struct {
	Token   rateSettings `yaml:"token"`
	Address rateSettings `yaml:"address"`
	Proxies []string     `yaml:"proxies"`
}

// rateSettings is a rate; what is nil is not said.
type rateSettings struct {
	Rate  *float64 `yaml:"rate"`
	Burst *int     `yaml:"burst"`
}

type corsSettings struct {
	Origins []string `yaml:"origins"`
}

// defaultLimits are those of a deployment that says nothing. An import sends some
// hundreds of requests a second with one token, and is not to be held up.
func defaultLimits() auth.Limits {
	return auth.Limits{Token: auth.Rate{PerSecond: 500, Burst: 1000}, Address: auth.Rate{PerSecond: 10, Burst: 100}}
}

// What the words of a rights claim may mean besides a right.
const (
	rightsAll  = "all"
	rightsRead = "read"
)

const maxIssuers = 20

// checkAccess makes issuers, limits and origins of what the file says.
func (s *settings) checkAccess(errs *config.Errors) {
	errs.Check(len(s.file.Auth.OIDC) <= maxIssuers, "auth.oidc", "too many issuers", fmt.Sprintf("use at most %d", maxIssuers))
	seen := map[string]bool{}
	for n, i := range s.file.Auth.OIDC {
		field := fmt.Sprintf("auth.oidc[%d]", n)
		errs.Check(!seen[i.Issuer], field+".issuer", "is there twice", "use one entry for each issuer")
		seen[i.Issuer] = true
		s.issuers = append(s.issuers, i.check(errs, field))
	}
	s.limits = defaultLimits()
	s.limits.Token = s.file.Limits.Token.over(errs, "limits.token", s.limits.Token)
	s.limits.Address = s.file.Limits.Address.over(errs, "limits.address", s.limits.Address)
	for n, text := range s.file.Limits.Proxies {
		p, err := netip.ParsePrefix(text)
		errs.Check(err == nil && !p.Addr().Is4In6(), fmt.Sprintf("limits.proxies[%d]", n), "not a network", "use CIDR notation, e.g. 10.0.0.0/8 or 192.0.2.7/32")
		s.limits.Proxies = append(s.limits.Proxies, p)
	}
	for n, origin := range s.file.CORS.Origins {
		errs.Check(isOrigin(origin), fmt.Sprintf("cors.origins[%d]", n), "not an origin",
			"use scheme and host, with the port unless it is the scheme's, and no slash at the end, e.g. https://console.example.com")
	}
}

// check returns the issuer.
func (i issuerSettings) check(errs *config.Errors, field string) auth.Issuer {
	u, err := url.Parse(i.Issuer)
	good := err == nil && u.Host != "" && u.User == nil && !strings.ContainsAny(i.Issuer, "?#")
	errs.Check(good && (u.Scheme == "https" || u.Scheme == "http" && i.Loopback && auth.IsLoopback(u.Hostname())), field+".issuer",
		"not the URL of an issuer", "use its identifier as it stands in the claim iss of its tokens, with https; plain http is for this machine alone, with loopback: true")
	errs.Check(i.Audience != "", field+".audience", "missing", "use what the issuer puts into the claim aud for this API, and for nothing else")
	errs.Check((i.Organisation == "") != (i.OrganisationClaim == ""), field+".organisation", "must be said in one way",
		"use organisation for that of all its tokens, or organisation_claim for the claim that has it")
	errs.Check(len(i.Organisation) <= maxOrg, field+".organisation", "too long", fmt.Sprintf("use at most %d characters", maxOrg))
	errs.Check(i.RightsClaim != "" && len(i.Rights) > 0, field+".rights", "missing",
		"name the claim in rights_claim, and here what its words mean, e.g. developers: [develop]")
	made := auth.Issuer{
		URL: i.Issuer, Audience: i.Audience, Org: i.Organisation, OrgClaim: i.OrganisationClaim,
		RightsClaim: i.RightsClaim, Rights: make(map[string]auth.Rights), EmailClaim: i.EmailClaim, NameClaim: i.NameClaim, Loopback: i.Loopback,
	}
	for _, word := range slices.Sorted(maps.Keys(i.Rights)) {
		made.Rights[word] = checkRights(errs, field+".rights."+word, i.Rights[word])
	}
	return made
}

// checkRights returns the rights that are named.
func checkRights(errs *config.Errors, field string, named []string) (rights auth.Rights) {
	for _, name := range named {
		switch right := auth.Right(name); {
		case name == rightsAll:
			rights = append(rights, auth.AllRights()...)
		case name == rightsRead:
		case slices.Contains(auth.AllRights(), right):
			rights = append(rights, right)
		default:
			errs.Check(false, field, "there is no such right", "use "+rightNames()+", or "+rightsAll+", or "+rightsRead+" for none of them")
		}
	}
	return rights
}

// rightNames lists all rights, for people.
func rightNames() string {
	var names []string
	for _, r := range auth.AllRights() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// over is a rate with what the file says of it.
func (s rateSettings) over(errs *config.Errors, field string, r auth.Rate) auth.Rate {
	if s.Rate != nil {
		r.PerSecond = *s.Rate
	}
	if s.Burst != nil {
		r.Burst = *s.Burst
	}
	errs.Check(r.PerSecond == 0 || r.PerSecond >= minRate && r.PerSecond <= maxRate, field+".rate", "out of bounds",
		fmt.Sprintf("use %g to %d requests a second, or 0 for no limit", minRate, maxRate))
	errs.Check(r.Burst >= 1 && r.Burst <= maxRate, field+".burst", "out of bounds", fmt.Sprintf("use 1 to %d", maxRate))
	return r
}

// isOrigin reports whether a text is an origin as browsers write it (RFC 6454,
// section 6.2).
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		text == u.Scheme+"://"+strings.ToLower(u.Host)
}
