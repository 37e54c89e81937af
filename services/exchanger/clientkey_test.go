package exchanger

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// keyPair is a private key in PEM, and the public one as a provider is told it.
func keyPair(t testing.TB, key any, public any) (private []byte, told string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block := func(name string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}) }
	return block("PRIVATE KEY", der), string(block("PUBLIC KEY", shown))
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newClientKey is a key in use, and its public half.
func newClientKey(t testing.TB, alg string) (*ClientKey, string) {
	t.Helper()
	private, told := keyPair(t, signingKey(), &signingKey().PublicKey)
	if alg == "ES256" {
		key := newP256(t)
		private, told = keyPair(t, key, &key.PublicKey)
	}
	key, err := NewClientKey(private, alg, "key-1")
	if err != nil {
		t.Fatal(err)
	}
	return key, told
}

// What an app signs is good by the clock that the client is given, whatever the
// machine's says.
func TestAssertionByTheGivenClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	var claims map[string]any
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_, claims = verifyJWT(t, seal.NewPlaintext(r.PostFormValue("client_assertion")))
		succeed(w, r)
	})
	e.Start()
	c := newClientFor(t, EgressConfig{Allow: loopback, Now: func() time.Time { return now }})
	app := newApp(t, e.URL, func(d *provider.Descriptor) { d.AuthStyle = provider.AuthPrivateKeyJWT })
	app.Key, _ = newClientKey(t, "RS256")
	if _, err := c.Refresh(t.Context(), app, seal.NewPlaintext("r"), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := claims["exp"], float64(now.Add(assertionLife).Unix()); got != want {
		t.Errorf("it ends at %v, want %v", got, want)
	}
}

// An app that signs sends an assertion, a new one with each request, and nothing
// else that proves who it is.
func assertedClient(t *testing.T) {
	asserts := func(d *provider.Descriptor) { d.AuthStyle = provider.AuthPrivateKeyJWT }
	for _, alg := range []string{"RS256", "PS256", "ES256"} {
		key, told := newClientKey(t, alg)
		q := newWire(t, sandbox.Client{AuthStyle: sandbox.AuthAssertion, Key: told}, asserts)
		q.app.Key = key
		token := q.granted().Refresh
		for range 2 {
			if _, err := q.refresh(token); err != nil {
				t.Fatalf("%s: %v", alg, err)
			}
		}
		for _, r := range q.requests() {
			if r.Auth != sandbox.AuthAssertion || slices.Contains(r.Fields, "client_secret") || !slices.Contains(r.Fields, "client_id") {
				t.Errorf("%s: sent by %s, with %q", alg, r.Auth, r.Fields)
			}
		}
		q.counts(3)
		q.app.Key, _ = newClientKey(t, "ES256") // another
		_, err := q.refresh(token)
		wantRefused(t, err, events.ReasonAppRefused, "invalid_client")
		q.app.Key = nil
		_, err = q.refresh(token)
		wantRefused(t, err, events.ReasonNotRegistered, "private_key_file")
		q.counts(4)
	}
}

// newCertificate is a certificate that vouches for itself, and its SHA-256.
func newCertificate(t testing.TB) (c tls.Certificate, sum string) {
	t.Helper()
	key := newP256(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fmt.Sprintf("%x", sha256.Sum256(der))
}

// An app that has a certificate shows it, on connections of its own: no other app's
// requests come by them.
func certifiedClient(t *testing.T) {
	certificate, sum := newCertificate(t)
	q := newWire(t, sandbox.Client{AuthStyle: sandbox.AuthTLS, Certificate: sum})
	srv := httptest.NewUnstartedServer(q.Handler())
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	cfg := EgressConfig{Allow: loopback, RootCAs: srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	q.url, q.tokenServer.client = srv.URL, newClientFor(t, cfg)
	q.describe(func(d *provider.Descriptor) { d.AuthStyle = provider.AuthTLS })
	identity := func(c tls.Certificate) *Identity {
		i := cfg.Identity(c)
		t.Cleanup(i.Close)
		return i
	}
	q.app.Identity = identity(certificate)
	token := q.granted().Refresh
	if _, err := q.refresh(token); err != nil {
		t.Fatal(err)
	}
	for _, r := range q.requests() {
		if r.Auth != sandbox.AuthTLS || slices.Contains(r.Fields, "client_secret") || !slices.Contains(r.Fields, "client_id") {
			t.Errorf("sent by %s, with %q", r.Auth, r.Fields)
		}
	}
	q.counts(2)
	other, _ := newCertificate(t)
	mine := q.app.Identity
	q.app.Identity = identity(other)
	_, err := q.refresh(token)
	wantRefused(t, err, events.ReasonAppRefused, "invalid_client")
	q.app.Identity = nil
	_, err = q.refresh(token)
	wantRefused(t, err, events.ReasonNotRegistered, "certificate_file")
	q.counts(3)
	q.app.Identity = mine
	if _, err := q.refresh(token); err != nil {
		t.Error(err)
	}
}

// An assertion says who asks whom, for a minute, and never twice the same.
func TestAssertion(t *testing.T) {
	t.Parallel()
	key, _ := newClientKey(t, "RS256")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := map[any]bool{}
	for range 3 {
		jwt, err := key.assertion("client", "https://issuer.test/token", now)
		if err != nil {
			t.Fatal(err)
		}
		header, claims := verifyJWT(t, jwt)
		if header["alg"] != "RS256" || header["kid"] != "key-1" {
			t.Errorf("header %v", header)
		}
		if claims["iss"] != "client" || claims["sub"] != "client" || claims["aud"] != "https://issuer.test/token" || claims["jti"] == "" ||
			claims["iat"] != float64(now.Add(-clockSkew).Unix()) || claims["exp"] != float64(now.Add(time.Minute).Unix()) {
			t.Errorf("claims %v", claims)
		}
		seen[claims["jti"]] = true
	}
	if len(seen) != 3 {
		t.Errorf("jti %v", seen)
	}
}

func TestClientKeys(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := newP256(t)
	weak, _ := keyPair(t, small, &small.PublicKey)
	rsaKey, public := keyPair(t, signingKey(), &signingKey().PublicKey)
	curve, _ := keyPair(t, p256, &p256.PublicKey)
	wide, _ := keyPair(t, p384, &p384.PublicKey)
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signingKey())})
	for _, tt := range []struct {
		name, alg string
		text      []byte
		want      error
	}{
		{"RSA", "RS256", rsaKey, nil},
		{"RSA, PSS", "PS256", rsaKey, nil},
		{"PKCS #1", "RS256", old, nil},
		{"P-256", "ES256", curve, nil},
		{"SEC 1", "ES256", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), nil},
		{"nothing", "RS256", nil, ErrKeyNotPEM},
		{"public", "RS256", []byte(public), ErrKeyNotPEM},
		{"small", "RS256", weak, ErrKeyMisfits},
		{"P-384", "ES256", wide, ErrKeyMisfits},
		{"RSA for ES256", "ES256", rsaKey, ErrKeyMisfits},
		{"P-256 for RS256", "RS256", curve, ErrKeyMisfits},
		{"no algorithm", "", rsaKey, ErrKeyMisfits},
		{"none", "none", rsaKey, ErrKeyMisfits},
	} {
		key, err := NewClientKey(tt.text, tt.alg, "")
		if !errors.Is(err, tt.want) || (key == nil) != (err != nil) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Neither key nor certificate can be printed with the app.
func TestProofsCannotPrint(t *testing.T) {
	t.Parallel()
	key, _ := newClientKey(t, "RS256")
	certificate, _ := newCertificate(t)
	app := App{ClientID: "c", Secret: seal.NewPlaintext("s"), Key: key, Identity: EgressConfig{}.Identity(certificate)}
	var text strings.Builder
	fmt.Fprintf(&text, "%v %+v %#v %v %s %d", app, app, app, key, app.Identity, key)
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "app", app, "key", key, "identity", app.Identity)
	for _, secret := range []string{signingKey().D.String(), signingKey().N.String(), "PrivateKey", "TLSClientConfig", "alg"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("%.20s is in: %.500s", secret, text.String())
		}
	}
}

// FuzzClientKey: no text crashes, and what is taken for a key signs.
func FuzzClientKey(f *testing.F) {
	text, _ := keyPair(f, signingKey(), &signingKey().PublicKey)
	f.Add(text, "RS256")
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), "ES256")
	f.Fuzz(func(t *testing.T, text []byte, alg string) {
		key, err := NewClientKey(text, alg, "")
		if err != nil {
			return
		}
		if _, err := key.assertion("c", "a", time.Now()); err != nil {
			t.Error(err)
		}
	})
}
