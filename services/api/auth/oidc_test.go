package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// idp is a real issuer: discovery, keys and signatures.
type idp struct {
	server *httptest.Server
	url    string
	log    apitest.Log
	oidc   *auth.OIDC

	mu    sync.Mutex
	keys  map[string]crypto.Signer
	extra []jose.JSONWebKey // besides, in the key set
	name  string            // in the discovery document; "" means url
	down  bool

	fetches atomic.Int64
}

const (
	audience = "rekindle"
	alpha    = "ALPHA@TestOrg"
	beta     = "BETA@TestOrg"
)

// newIDP starts an issuer with the key "first", and has its tokens verified.
func newIDP(t *testing.T, change func(*auth.Issuer), before func(*idp)) *idp {
	t.Helper()
	p := &idp{keys: map[string]crypto.Signer{"first": newECKey(t)}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discover)
	mux.HandleFunc("GET /keys", p.publish)
	p.server = httptest.NewServer(mux)
	p.url = p.server.URL
	t.Cleanup(p.server.Close)
	cfg := auth.Issuer{
		URL: p.url, Audience: audience, OrgClaim: "orgs", RightsClaim: "realm_access.roles",
		Rights: map[string]auth.Rights{
			"developer": {auth.Develop, auth.EditProperty}, "publisher": {auth.Publish, auth.Develop}, "viewer": nil,
		},
		EmailClaim: "email", NameClaim: "name", Loopback: true,
	}
	if change != nil {
		change(&cfg)
	}
	if before != nil {
		before(p)
	}
	p.oidc = auth.NewOIDC([]auth.Issuer{cfg}, auth.OIDCDeps{Logger: p.log.Logger()})
	running := make(chan struct{})
	ctx := t.Context()
	go func() { defer close(running); p.oidc.Run(ctx) }()
	t.Cleanup(func() { <-running; p.server.Client().CloseIdleConnections() })
	return p
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (p *idp) discover(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		http.Error(w, "canary-of-the-issuer", http.StatusBadGateway)
		return
	}
	name := p.name
	if name == "" {
		name = p.url
	}
	json.NewEncoder(w).Encode(map[string]any{"issuer": name, "jwks_uri": p.url + "/keys"})
}

func (p *idp) publish(w http.ResponseWriter, _ *http.Request) {
	p.fetches.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: p.extra}
	for id, key := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: id, Key: key.Public(), Use: "sig"})
	}
	json.NewEncoder(w).Encode(set)
}

// rotate replaces all keys.
func (p *idp) rotate(keys map[string]crypto.Signer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// good are the claims of a token that is taken.
func (p *idp) good() map[string]any {
	return map[string]any{
		"iss": p.url, "aud": []string{audience, "other"}, "sub": "ada", "email": "ada@example.org", "name": "Ada",
		"orgs": []string{alpha, beta}, "realm_access": map[string]any{"roles": []string{"developer", "unknown"}},
		"exp": time.Now().Add(time.Hour).Unix(),
	}
}

// with are good claims with others in their place; nil removes one.
func (p *idp) with(changes map[string]any) map[string]any {
	claims := p.good()
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	options := new(jose.SignerOptions).WithType("at+jwt")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *idp) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	return sign(t, jose.ES256, p.keys["first"], "first", claims)
}

// verify waits for the first fetch, however long it takes.
func (p *idp) verify(t *testing.T, token string) (auth.Principal, error) {
	t.Helper()
	late := time.After(apitest.Patience)
	for {
		fetched := auth.Fetched(p.oidc, p.url)
		principal, err := p.oidc.Verify(t.Context(), token)
		if !errors.Is(err, auth.ErrIssuerAway) {
			return principal, err
		}
		select {
		case <-fetched:
		case <-late:
			return principal, err
		}
	}
}

func TestOIDCPrincipal(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil, nil)
	hidden := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("a\nb")))
	for name, tt := range map[string]struct {
		changes map[string]any
		want    auth.Principal
	}{
		"all of it": {nil, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: "ada@example.org", DisplayName: "Ada",
			Rights: auth.Rights{auth.Develop, auth.EditProperty}, Key: "oidc " + p.url + " ada",
		}},
		"several roles as words": {map[string]any{"realm_access": map[string]any{"roles": "publisher  developer"}, "aud": audience}, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: "ada@example.org", DisplayName: "Ada",
			Rights: auth.Rights{auth.Develop, auth.EditProperty, auth.Publish}, Key: "oidc " + p.url + " ada",
		}},
		"a claim with dots in its name": {map[string]any{"realm_access.roles": []string{"viewer"}}, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: "ada@example.org", DisplayName: "Ada", Key: "oidc " + p.url + " ada",
		}},
		"no name, one organisation": {map[string]any{"name": nil, "email": "a\nb", "orgs": beta}, auth.Principal{
			Org: beta, Orgs: []string{beta}, Email: "ada", DisplayName: "ada",
			Rights: auth.Rights{auth.Develop, auth.EditProperty}, Key: "oidc " + p.url + " ada",
		}},
		"a program": {map[string]any{"sub": nil, "client_id": "nightly", "name": nil, "email": nil}, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: "nightly", DisplayName: "nightly",
			Rights: auth.Rights{auth.Develop, auth.EditProperty}, Key: "oidc " + p.url + " nightly",
		}},
		"a subject that cannot be shown": {map[string]any{"sub": "a\nb", "name": nil, "email": nil}, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: hidden, DisplayName: hidden,
			Rights: auth.Rights{auth.Develop, auth.EditProperty}, Key: "oidc " + p.url + " " + hidden,
		}},
		"clocks apart": {map[string]any{"exp": time.Now().Add(-50 * time.Second).Unix(), "nbf": time.Now().Add(50 * time.Second).Unix()}, auth.Principal{
			Org: alpha, Orgs: []string{alpha, beta}, Email: "ada@example.org", DisplayName: "Ada",
			Rights: auth.Rights{auth.Develop, auth.EditProperty}, Key: "oidc " + p.url + " ada",
		}},
	} {
		got, err := p.verify(t, p.sign(t, p.with(tt.changes)))
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

// TestOIDCOrganisations: the header picks among those of the token.
func TestOIDCOrganisations(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil, nil)
	text := p.sign(t, p.good())
	if _, err := p.verify(t, text); err != nil {
		t.Fatal(err)
	}
	gate := auth.NewGate(auth.NewBootstrap("first", auth.Administrator(beta)), p.oidc)
	for _, tt := range []struct {
		named []string
		org   string
		err   error
	}{
		{nil, alpha, nil},
		{[]string{""}, alpha, nil},
		{[]string{alpha}, alpha, nil},
		{[]string{beta}, beta, nil},
		{[]string{beta, "", beta}, beta, nil},
		{[]string{"GAMMA@TestOrg"}, "", auth.ErrOtherOrg},
		{[]string{alpha, beta}, "", auth.ErrOtherOrg},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Authorization"] = []string{"Bearer " + text}
		r.Header["X-Gw-Ims-Org-Id"] = tt.named
		got, err := gate.Admit(r)
		if got.Org != tt.org || !errors.Is(err, tt.err) {
			t.Errorf("%q: %q and %v, want %q and %v", tt.named, got.Org, err, tt.org, tt.err)
		}
	}
}

func TestOIDCRefuses(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := newIDP(t, nil, func(p *idp) {
		p.keys["rsa"] = weak
		p.extra = []jose.JSONWebKey{
			{KeyID: "shared", Key: []byte("a-symmetric-key-that-nobody-should-publish")},
			{KeyID: "sealing", Key: newECKey(t).Public(), Use: "enc"},
			{KeyID: "pinned", Key: weak.Public(), Algorithm: "PS256"},
		}
	})
	der, err := x509.MarshalPKIXPublicKey(weak.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	claims := p.good()
	good := p.sign(t, claims)
	if _, err := p.verify(t, good); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	encoded := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, tt := range map[string]struct{ token, why string }{
		"another issuer":              {p.sign(t, p.with(map[string]any{"iss": "https://elsewhere.example.org"})), "unknown"},
		"no issuer":                   {p.sign(t, p.with(map[string]any{"iss": nil})), "unknown"},
		"an issuer with a slash":      {p.sign(t, p.with(map[string]any{"iss": p.url + "/"})), "unknown"},
		"another audience":            {p.sign(t, p.with(map[string]any{"aud": "rekindle2"})), "is for another audience"},
		"no audience":                 {p.sign(t, p.with(map[string]any{"aud": nil})), "is for another audience"},
		"expired":                     {p.sign(t, p.with(map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()})), "is expired"},
		"no end":                      {p.sign(t, p.with(map[string]any{"exp": nil})), "has no end (claim exp)"},
		"not yet":                     {p.sign(t, p.with(map[string]any{"nbf": time.Now().Add(2 * time.Minute).Unix()})), "is not valid yet"},
		"no organisation":             {p.sign(t, p.with(map[string]any{"orgs": []string{}})), "no access"},
		"numbers for organisations":   {p.sign(t, p.with(map[string]any{"orgs": []int{1}})), "no access"},
		"no role that is known":       {p.sign(t, p.with(map[string]any{"realm_access": map[string]any{"roles": "admin"}})), "no access"},
		"no roles":                    {p.sign(t, p.with(map[string]any{"realm_access": nil})), "no access"},
		"nobody's":                    {p.sign(t, p.with(map[string]any{"sub": nil})), "no access"},
		"algorithm none":              {encoded(`{"alg":"none"}`) + "." + parts[1] + ".", "is not signed as it must be"},
		"none, with the signature":    {encoded(`{"alg":"none","kid":"first"}`) + "." + parts[1] + "." + parts[2], "is not signed as it must be"},
		"HMAC with the public key":    {sign(t, jose.HS256, public, "rsa", claims), "is not signed as it must be"},
		"HMAC with the shared key":    {sign(t, jose.HS256, []byte("a-symmetric-key-that-nobody-should-publish"), "shared", claims), "is not signed as it must be"},
		"another's key of that name":  {sign(t, jose.ES256, newECKey(t), "first", claims), "is not signed as it must be"},
		"another key, unnamed":        {sign(t, jose.ES256, newECKey(t), "", claims), "is signed with a key that its issuer does not have"},
		"an algorithm not the key's":  {sign(t, jose.RS256, weak, "pinned", claims), "is signed with a key that its issuer does not have"},
		"a key for something else":    {sign(t, jose.ES256, newECKey(t), "sealing", claims), "is signed with a key that its issuer does not have"},
		"claims that were changed":    {parts[0] + "." + encoded(strings.Replace(decoded(t, parts[1]), "ada@", "eve@", 1)) + "." + parts[2], "is not signed as it must be"},
		"a signature that is cut":     {good[:len(good)-4], "is not signed as it must be"},
		"huge":                        {p.sign(t, p.with(map[string]any{"more": strings.Repeat("x", 16<<10)})), "unknown"},
		"two parts":                   {parts[0] + "." + parts[1], "unknown"},
		"no base64":                   {"a.!.c", "unknown"},
		"no JSON":                     {"a." + encoded("{") + ".c", "unknown"},
		"a header that is not signed": {encoded(`{"alg":"ES256","kid":"first","crit":["x"],"x":1}`) + "." + parts[1] + "." + parts[2], "is not signed as it must be"},
	} {
		_, err := p.oidc.Verify(t.Context(), tt.token)
		got := ""
		switch refused, ok := errors.AsType[*auth.RefusedError](err); {
		case ok:
			got = refused.Why
		case errors.Is(err, auth.ErrUnknownToken):
			got = "unknown"
		case errors.Is(err, auth.ErrNoAccess):
			got = "no access"
		}
		if got != tt.why {
			t.Errorf("%s: got %v, want %q", name, err, tt.why)
		}
	}
	// A token need not name its key.
	for _, unnamed := range []string{sign(t, jose.ES256, p.keys["first"], "", claims), sign(t, jose.PS256, weak, "", claims), sign(t, jose.PS256, weak, "pinned", claims)} {
		if _, err := p.oidc.Verify(t.Context(), unnamed); err != nil {
			t.Errorf("with a key that is its issuer's: %v", err)
		}
	}
}

func decoded(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOIDCRotation: a new key is found with the first token that names it, and an
// old one is not taken any more.
func TestOIDCRotation(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil, nil)
	old := p.sign(t, p.good())
	if _, err := p.verify(t, old); err != nil {
		t.Fatal(err)
	}
	second := newECKey(t)
	p.rotate(map[string]crypto.Signer{"second": second})
	if _, err := p.oidc.Verify(t.Context(), sign(t, jose.ES256, second, "second", p.good())); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	if _, err := p.oidc.Verify(t.Context(), old); err == nil {
		t.Error("a token of the withdrawn key is taken")
	}
}

// TestNobodyHammersTheIssuer shows tokens with keys that do not exist.
func TestNobodyHammersTheIssuer(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil, nil)
	if _, err := p.verify(t, p.sign(t, p.good())); err != nil {
		t.Fatal(err)
	}
	before := p.fetches.Load()
	key := newECKey(t)
	var showing sync.WaitGroup
	for g := range 8 {
		showing.Go(func() {
			for n := range 25 {
				token := sign(t, jose.ES256, key, fmt.Sprintf("made-up-%d-%d", g, n), p.good())
				if _, err := p.oidc.Verify(t.Context(), token); err == nil {
					t.Error("a made-up key is taken")
				}
			}
		})
	}
	showing.Wait()
	if n := p.fetches.Load() - before; n > 1 {
		t.Errorf("200 tokens with made-up keys led to %d fetches, want 1", n)
	}
	if _, err := p.oidc.Verify(t.Context(), p.sign(t, p.good())); err != nil {
		t.Errorf("a good token meanwhile: %v", err)
	}
}

// TestAnIssuerThatIsAway: its tokens cannot be checked, others can, and it is asked
// again.
func TestAnIssuerThatIsAway(t *testing.T) {
	t.Parallel()
	p := newIDP(t, nil, func(p *idp) { p.down = true })
	text := p.sign(t, p.good())
	gate := auth.NewGate(auth.NewBootstrap("first", auth.Administrator(alpha)), p.oidc)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer first")
	if _, err := gate.Admit(r); err != nil {
		t.Errorf("the bootstrap token: %v", err)
	}
	if _, err := p.oidc.Verify(t.Context(), text); !errors.Is(err, auth.ErrIssuerAway) {
		t.Errorf("its own: %v", err)
	}
	p.mu.Lock()
	p.down = false
	p.mu.Unlock()
	if _, err := p.verify(t, text); err != nil {
		t.Errorf("its own, once it is back: %v", err)
	}
	if strings.Contains(p.log.String(), "canary-of-the-issuer") {
		t.Error("the log has what the issuer said")
	}
}

func TestIssuersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*auth.Issuer)
		before func(*idp)
		why    string
	}{
		"plain http":   {func(i *auth.Issuer) { i.Loopback = false }, nil, "plain http"},
		"another name": {nil, func(p *idp) { p.name = "https://elsewhere.example.org" }, "names another issuer"},
		"no keys":      {nil, func(p *idp) { p.keys = nil }, "jwks_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t, tt.change, tt.before)
			p.log.Await(t, tt.why)
			if _, err := p.oidc.Verify(t.Context(), sign(t, jose.ES256, newECKey(t), "first", p.good())); !errors.Is(err, auth.ErrIssuerAway) {
				t.Errorf("a token of it: %v, want ErrIssuerAway", err)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.e30.c")
	f.Add("eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"https://a.example"}`)) + ".AA")
	f.Fuzz(func(t *testing.T, token string) {
		o := auth.NewOIDC([]auth.Issuer{{URL: "https://a.example", Audience: audience}}, auth.OIDCDeps{Logger: slog.New(slog.DiscardHandler)})
		if p, err := o.Verify(t.Context(), token); err == nil {
			t.Errorf("%q is taken for that of %q", token, p.Org)
		}
	})
}
