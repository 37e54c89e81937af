package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

// resolveFile resolves a configuration file for a target. Where the file says
// DIR it means the directory it is in. What is wrong are the lines of the error,
// each with the place of the mistake in f.yaml.
func resolveFile(t *testing.T, target, text string, files map[string]string) (s *settings, wrong []string) {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = &settings{target: target, nats: natsFlags{url: "nats://localhost"}, listen: ":0", opsListen: ":0", logLevel: "info", dataDir: "data", configFile: path}
	err := s.resolve()
	if err == nil {
		return s, nil
	}
	if !isUsage(err) {
		t.Errorf("not a usage error: %v", err)
	}
	return s, strings.Split(strings.ReplaceAll(err.Error(), dir+"/", ""), "\n")
}

const (
	registered = "providers:\n  google:\n    client_id: x\n"
	signs      = registered + "    auth_style: private_key_jwt\n"
	certified  = registered + "    auth_style: tls\n"
)

// TestProvidersRefused: every mistake is named with its line. Wherever a value
// stands, "s3cret" is part of no error.
func TestProvidersRefused(t *testing.T) {
	t.Parallel()
	const anApp = "    client_id: x\n    client_secret_file: s3cret\n"
	files := map[string]string{
		"empty": "\n", "long": strings.Repeat("x", maxClientSecret+1), "endless": strings.Repeat("x", 2*maxClientSecret),
		"json": "{\n  \"client_secret\": \"s3cret\"\n}\n",
	}
	files["key"], _ = newCertificate(t)
	for name, tt := range map[string]struct {
		target string
		file   string
		want   []string
	}{
		"not a mapping":        {file: "providers: s3cret", want: []string{"f.yaml:1:12: providers: needs fields, name: value"}},
		"not a provider":       {file: "providers:\n  google: s3cret", want: []string{"f.yaml:2:11: providers.google: needs fields, name: value"}},
		"unknown inner":        {file: "providers:\n  google:\n    refresh:\n      offsett: s3cret", want: []string{`f.yaml:4:7: providers.google.refresh: unknown field "offsett", want one of expires_field, grace, grace_generations, issued, life, max_offset, min_gap, offset, per_account, rotates, slides`}},
		"repeated":             {file: "providers:\n  google:\n    client_id: s3cret\n    client_id: s3cret", want: []string{`f.yaml:4:5: mapping key "client_id" already defined at [3:5]`}},
		"a duration's unit":    {file: "providers:\n  google:\n    refresh: {offset: 30}", want: []string{"f.yaml:3:23: providers.google.refresh.offset: not a duration, write it like 90s, 8h or 2d"}},
		"public http":          {file: "providers:\n  google:\n    docs: x\n    token_url: http://s3cret.example/token", want: []string{"f.yaml:4:5: providers.google.token_url: is not https; use https; http is for hosts that cannot be public: loopback and private addresses, names without a dot"}},
		"user name in a URL":   {file: "providers:\n  google:\n    token_url: https://s3cret@a.example/", want: []string{"f.yaml:3:5: providers.google.token_url: has a user name or a fragment; write it like https://login.example.com/oauth/token"}},
		"two fields at odds":   {file: "providers:\n  google:\n    expiry:\n      default: 1h\n", want: []string{"f.yaml:3:5: providers.google.expiry.fixed: is the lifetime whatever an answer says; leave out the other fields of expiry"}},
		"style":                {file: "providers:\n  google:\n    auth_style: s3cret", want: []string{"f.yaml:3:5: providers.google.auth_style: is not known; write one of params, header, private_key_jwt, tls"}},
		"entry of a list":      {file: "providers:\n  google:\n    errors:\n    - value: s3cret\n      meaning: retry\n    - value: s3cret\n      meaning: s3cret", want: []string{"f.yaml:7:7: providers.google.errors[1].meaning: is not known; write one of needs_human, needs_config, admin_policy, retry, wait"}},
		"missing in a list":    {file: "providers:\n  google:\n    errors:\n    - value: s3cret\n      meaning: retry\n    - meaning: retry", want: []string{"f.yaml:6:14: providers.google.errors[1].value: is empty; write what the provider answers"}},
		"a reminder":           {file: "providers:\n  google:\n    consent:\n      reminders:\n      - 1d\n      - 2d", want: []string{"f.yaml:6:9: providers.google.consent.reminders[1]: is not shorter than the one before; write the longest first"}},
		"name":                 {file: "providers:\n  A B: {label: A, authorize_url: https://a.example, token_url: https://a.example, auth_style: params}", want: []string{"f.yaml:2:3: providers.A B.name: is not a name; write lower-case letters, digits and dashes"}},
		"name of another kind": {file: "providers:\n  jwt: {label: A, authorize_url: https://a.example, token_url: https://a.example, auth_style: params}", want: []string{"f.yaml:2:3: providers.jwt: its secrets would be of the kind oauth2-jwt, which is another; choose another name"}},
		"client credentials": {file: "providers:\n  client_credentials: {label: A, authorize_url: https://a.example, token_url: https://a.example, auth_style: params}", want: []string{
			"f.yaml:2:3: providers.client_credentials: its secrets would be of the kind oauth2-client_credentials, which is another; choose another name",
			"f.yaml:2:3: providers.client_credentials.name: is not a name; write lower-case letters, digits and dashes",
		}},
		"kind": {file: "providers:\n  google:\n    kind: oauth2-s3cret", want: []string{"f.yaml:3:5: providers.google.kind: is not the kind that goes by the provider's name; leave it out"}},
		"incomplete": {file: "providers:\n  acme:\n    label: Acme\n    client_id: x", want: []string{
			"f.yaml:2:3: providers.acme.authorize_url: is empty; write where people are sent to consent",
			"f.yaml:2:3: providers.acme.token_url: is empty; write where codes are exchanged",
			"f.yaml:2:3: providers.acme.auth_style: is empty; write params or header: it is never found out by trying",
		}},
		"nothing of a new one": {file: "providers:\n  acme:", want: []string{
			"f.yaml:2:3: providers.acme.label: is empty; write the provider's name as people know it",
			"f.yaml:2:3: providers.acme.authorize_url: is empty; write where people are sent to consent",
			"f.yaml:2:3: providers.acme.token_url: is empty; write where codes are exchanged",
			"f.yaml:2:3: providers.acme.auth_style: is empty; write params or header: it is never found out by trying",
		}},

		"secret without an app":    {target: targetExchanger, file: "providers:\n  google:\n    client_secret: s3cret", want: []string{"f.yaml:2:3: providers.google.client_id: is empty or has characters that cannot be sent; copy it from the app's page at the provider"}},
		"date without an app":      {file: "providers:\n  google:\n    secret_expires_at: 2027-03-01", want: []string{"f.yaml:2:3: providers.google.client_id: is empty or has characters that cannot be sent; copy it from the app's page at the provider"}},
		"client id":                {file: "providers:\n  google:\n    client_id: \"s3cret\\n\"", want: []string{"f.yaml:3:5: providers.google.client_id: is empty or has characters that cannot be sent; copy it from the app's page at the provider"}},
		"date":                     {file: "providers:\n  google:\n" + anApp + "    secret_expires_at: s3cret", want: []string{"f.yaml:5:24: providers.google.secret_expires_at: not a date, write it like 2027-03-01 or 2027-03-01T12:00:00Z"}},
		"value of no placeholder":  {file: "providers:\n  google:\n" + anApp + "    values:\n      tenant: s3cret", want: []string{"f.yaml:6:7: providers.google.values.tenant: is not a placeholder of this provider; leave it out"}},
		"value that leads astray":  {file: "providers:\n  auth0:\n" + anApp + "    values: {tenant: s3cret.example/}", want: []string{"f.yaml:5:14: providers.auth0.values.tenant: is not of its form; write labels of a host name: lower-case letters, digits and dashes, with dots between them"}},
		"no value":                 {file: "providers:\n  auth0:\n" + anApp, want: []string{"f.yaml:2:3: providers.auth0.values.tenant: is missing; write the value that takes the place of {tenant}"}},
		"two secrets":              {target: targetExchanger, file: registered + "    client_secret: s3cret\n    client_secret_file: DIR/none", want: []string{"f.yaml:5:5: providers.google.client_secret_file: is given besides client_secret; keep one of the two", "f.yaml:5:5: providers.google.client_secret_file: cannot be read: no such file or directory; name a file that holds the client secret, for this process to read"}},
		"secret for an api":        {file: registered + "    client_secret: s3cret", want: []string{"f.yaml:4:5: providers.google.client_secret: is readable by a process that must not know it; use client_secret_file, which only exchangers read"}},
		"secret for a scheduler":   {target: targetScheduler, file: registered + "    client_secret_file: DIR/none\n    client_secret: s3cret", want: []string{"f.yaml:5:5: providers.google.client_secret: is readable by a process that must not know it; use client_secret_file, which only exchangers read"}},
		"no key":                   {target: targetExchanger, file: signs, want: []string{"f.yaml:2:3: providers.google.private_key_file: is missing; name a file in PEM for this process to read"}},
		"a key that is not there":  {target: targetExchanger, file: signs + "    private_key_file: s3cret", want: []string{"f.yaml:5:5: providers.google.private_key_file: cannot be read: no such file or directory; name a file in PEM for this process to read"}},
		"a key that is empty":      {target: targetExchanger, file: signs + "    private_key_file: DIR/empty", want: []string{"f.yaml:5:5: providers.google.private_key_file: is empty; name a file in PEM for this process to read"}},
		"a key that is long":       {target: targetExchanger, file: signs + "    private_key_file: DIR/long", want: []string{"f.yaml:5:5: providers.google.private_key_file: is longer than 16 KiB; name a file in PEM for this process to read"}},
		"a key that is none":       {target: targetExchanger, file: signs + "    private_key_file: DIR/json", want: []string{"f.yaml:5:5: providers.google.private_key_file: is not a private key in PEM, PKCS #8, PKCS #1 or SEC 1, that is not encrypted; name the file of the key whose public half the provider has, and set private_key_alg"}},
		"a key of another kind":    {target: targetExchanger, file: signs + "    private_key_file: DIR/key", want: []string{"f.yaml:5:5: providers.google.private_key_file: is not a key for this algorithm: RS256 and PS256 want RSA of 2048 bits or more, ES256 wants P-256; name the file of the key whose public half the provider has, and set private_key_alg"}},
		"an algorithm":             {target: targetExchanger, file: signs + "    private_key_file: DIR/key\n    private_key_alg: s3cret", want: []string{"f.yaml:6:5: providers.google.private_key_alg: is not known; write one of RS256, PS256, ES256", "f.yaml:5:5: providers.google.private_key_file: is not a key for this algorithm: RS256 and PS256 want RSA of 2048 bits or more, ES256 wants P-256; name the file of the key whose public half the provider has, and set private_key_alg"}},
		"a key and a secret":       {file: signs + "    client_secret_file: s3cret", want: []string{"f.yaml:5:5: providers.google.client_secret_file: is of no use to the auth_style of the provider; leave it out, or change auth_style"}},
		"a secret and a key":       {file: registered + "    private_key_file: s3cret\n    certificate_file: s3cret\n    private_key_id: s3cret", want: []string{"f.yaml:4:5: providers.google.private_key_file: is of no use to the auth_style of the provider; leave it out, or change auth_style", "f.yaml:6:5: providers.google.private_key_id: is of no use to the auth_style of the provider; leave it out, or change auth_style", "f.yaml:5:5: providers.google.certificate_file: is of no use to the auth_style of the provider; leave it out, or change auth_style"}},
		"no certificate":           {target: targetExchanger, file: certified, want: []string{"f.yaml:2:3: providers.google.certificate_file: is missing; name a file in PEM for this process to read", "f.yaml:2:3: providers.google.private_key_file: is missing; name a file in PEM for this process to read"}},
		"another's certificate":    {target: targetExchanger, file: certified + "    certificate_file: DIR/json\n    private_key_file: DIR/key", want: []string{"f.yaml:5:5: providers.google.certificate_file: is not the certificate, in PEM, of the key in private_key_file; name the two files that belong together"}},
		"certificate in clear":     {file: certified + "    token_url: http://127.0.0.1/token", want: []string{"f.yaml:5:5: providers.google.token_url: is not https, where no certificate is shown; use https"}},
		"no secret":                {target: targetExchanger, file: registered, want: []string{"f.yaml:2:3: providers.google.client_secret: is missing; write it, or name a file that holds it in client_secret_file"}},
		"secret that is empty":     {target: targetExchanger, file: registered + "    client_secret: ''", want: []string{"f.yaml:4:20: providers.google.client_secret: is empty, copy the secret from the app's page at the provider, and nothing else"}},
		"secret that is none":      {target: targetExchanger, file: registered + "    client_secret: \"s3cret\\n\"", want: []string{"f.yaml:4:20: providers.google.client_secret: has characters that no client secret has, copy the secret from the app's page at the provider, and nothing else"}},
		"secret that is many":      {target: targetExchanger, file: registered + "    client_secret: [s3cret]", want: []string{"f.yaml:4:20: providers.google.client_secret: needs a single value", "f.yaml:4:5: providers.google.client_secret: is missing; write it, or name a file that holds it in client_secret_file"}},
		"file that is not there":   {target: targetExchanger, file: registered + "    client_secret_file: s3cret", want: []string{"f.yaml:4:5: providers.google.client_secret_file: cannot be read: no such file or directory; name a file that holds the client secret, for this process to read"}},
		"file that is a directory": {target: targetExchanger, file: registered + "    client_secret_file: DIR/", want: []string{"f.yaml:4:5: providers.google.client_secret_file: is not a regular file; name a file that holds the client secret, for this process to read"}},
		"file that is empty":       {target: targetExchanger, file: registered + "    client_secret_file: DIR/empty", want: []string{"f.yaml:4:5: providers.google.client_secret_file: is empty, copy the secret from the app's page at the provider, and nothing else; name a file that holds the client secret, for this process to read"}},
		"file that is long":        {target: targetExchanger, file: registered + "    client_secret_file: DIR/long", want: []string{"f.yaml:4:5: providers.google.client_secret_file: is longer than 16 KiB, copy the secret from the app's page at the provider, and nothing else; name a file that holds the client secret, for this process to read"}},
		"file that is very long":   {target: targetExchanger, file: registered + "    client_secret_file: DIR/endless", want: []string{"f.yaml:4:5: providers.google.client_secret_file: is longer than 16 KiB, copy the secret from the app's page at the provider, and nothing else; name a file that holds the client secret, for this process to read"}},
		"file of something else":   {target: targetExchanger, file: registered + "    client_secret_file: DIR/json", want: []string{"f.yaml:4:5: providers.google.client_secret_file: has characters that no client secret has, copy the secret from the app's page at the provider, and nothing else; name a file that holds the client secret, for this process to read"}},
		"window of an interactive": {file: "windows:\n  oauth2-google: {min_validity: 1h}", want: []string{"f.yaml:2:3: windows.oauth2-google: not a kind with validity windows; use oauth2 or oauth2-jwt; that of an interactive kind is its provider's refresh.offset"}},
		"all of several at once": {target: targetExchanger, file: "providers:\n  acme:\n    label: Acme\n    auth_style: tls\n    token_url: http://a.example\n    authorize_url: https://a.example\n  google:\n    client_secret: s3cret\n    pkcee: s3cret\nexchanger:\n  timeout: 2m\n", want: []string{
			`f.yaml:9:5: providers.google: unknown field "pkcee", want one of answer, auth_style, authorize_params, authorize_url, certificate_file, client_id, client_secret, client_secret_file, consent, docs, errors, expiry, introspect_url, issuer, kind, label, notes, pkce, placeholders, private_key_alg, private_key_file, private_key_id, refresh, refresh_params, refresh_url, rename, request_format, revoke_url, scopes, secret_expires_at, secret_life, subject, token_params, token_url, values`,
			"f.yaml:7:3: providers.google.client_id: is empty or has characters that cannot be sent; copy it from the app's page at the provider",
			"f.yaml:5:5: providers.acme.token_url: is not https; use https; http is for hosts that cannot be public: loopback and private addresses, names without a dot",
			"f.yaml:11:3: exchanger.timeout: too long; use at most 1m, or leave it out for 10s",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := tt.target
			if target == "" {
				target = targetAPI
			}
			_, wrong := resolveFile(t, target, tt.file, files)
			if diff := cmp.Diff(tt.want, wrong); diff != "" {
				t.Error(diff)
			}
			if text := strings.Join(wrong, "\n"); strings.Contains(text, "s3cret") {
				t.Errorf("the error shows a value: %s", text)
			}
		})
	}
}

// TestProvidersOverride: a field that the file names is replaced, the others stay
// as they are shipped.
func TestProvidersOverride(t *testing.T) {
	t.Parallel()
	s, wrong := resolveFile(t, targetAPI, `
providers:
  google:
    client_id: 123
    authorize_url: http://127.0.0.1:9999/authorize
    pkce: ""
    authorize_params: {approval_prompt: auto}
    scopes: {allowed: []}
    consent: {reminders: [2d, 36h]}
  linkedin:
    notes: An override, no app.
  acme:
    label: Acme
    authorize_url: http://localhost/authorize
    token_url: http://localhost/token
    auth_style: header
    client_id: acme
    client_secret_file: /not/for/an/api
    secret_expires_at: 2027-03-01
`, nil)
	if wrong != nil {
		t.Fatal(wrong)
	}
	want, _ := provider.Defaults().Get("google")
	want.AuthorizeURL, want.PKCE = "http://127.0.0.1:9999/authorize", ""
	want.AuthorizeParams = map[string]string{"access_type": "offline", "approval_prompt": "auto"}
	want.Scopes.Allowed = []string{}
	want.Consent.Reminders = []time.Duration{48 * time.Hour, 36 * time.Hour}
	acme := s.apps["acme"].Provider
	apps := provider.Apps{
		"google": {Provider: want, Registration: provider.Registration{Provider: "google", ClientID: "123"}},
		"acme": {Provider: acme, Registration: provider.Registration{
			Provider: "acme", ClientID: "acme", SecretExpiresAt: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
		}},
	}
	if diff := cmp.Diff(apps, s.apps); diff != "" {
		t.Errorf("apps:\n%s", diff)
	}
	if acme.AuthStyle != provider.AuthHeader || len(s.file.Providers) != len(provider.Defaults().Names())+1 {
		t.Errorf("acme is %s, of %d providers", acme.AuthStyle, len(s.file.Providers))
	}
	if fresh, _ := provider.Defaults().Get("google"); fresh.AuthorizeParams["approval_prompt"] != "force" {
		t.Error("what is shipped has changed")
	}
}

// TestClientSecrets are in the processes that run an exchanger, and in no other.
func TestClientSecrets(t *testing.T) {
	t.Parallel()
	const text = "providers:\n  linkedin: {client_id: x, client_secret_file: DIR/linkedin}\n  dropbox: {pkce: ''}\n" +
		"  acme: {label: A, authorize_url: 'https://a.example/', token_url: 'https://a.example/', auth_style: tls, client_id: x, certificate_file: DIR/certificate, private_key_file: DIR/key}\n" +
		"  salesforce: {auth_style: private_key_jwt, client_id: x, private_key_file: DIR/key, private_key_alg: ES256, private_key_id: k}\n"
	const inline = "  google: {client_id: x, client_secret: inline}\n  amazon: {client_id: x, client_secret: 0012}\n"
	files := map[string]string{"linkedin": "in a file\r\n"}
	files["key"], files["certificate"] = newCertificate(t)
	for _, target := range []string{targetAPI, targetScheduler} {
		s, wrong := resolveFile(t, target, text, nil) // which are not there
		if wrong != nil || len(s.apps) != 3 || len(s.proofs) > 0 {
			t.Errorf("%s: %d apps, %d client secrets, %v", target, len(s.apps), len(s.proofs), wrong)
		}
	}
	want := map[string]string{"google": "inline", "amazon": "0012", "linkedin": "in a file", "acme": "", "salesforce": ""}
	for _, target := range []string{targetAll, targetExchanger} {
		s, wrong := resolveFile(t, target, text+inline, files)
		if wrong != nil {
			t.Fatal(target, wrong)
		}
		if names := slices.Sorted(maps.Keys(s.apps)); !slices.Equal(names, []string{"acme", "amazon", "google", "linkedin", "salesforce"}) {
			t.Errorf("%s: apps of %v", target, names)
		}
		got := map[string]string{}
		for name, p := range s.proofs {
			got[name] = string(p.secret.Reveal())
		}
		if p := s.proofs["acme"]; p.certificate.Certificate == nil || !s.apps["acme"].Registration.SecretExpiresAt.Equal(p.certificate.Leaf.NotAfter) {
			t.Errorf("%s: the certificate is %v, announced to end at %v", target, p.certificate, s.apps["acme"].Registration.SecretExpiresAt)
		}
		if s.proofs["salesforce"].key == nil {
			t.Errorf("%s: no key", target)
		}
		egress := exchanger.EgressConfig{}
		apps, closeAll := s.exchangerApps(egress)
		if apps["acme"].Identity == nil || apps["salesforce"].Key == nil || apps["google"].Secret.IsZero() || apps["google"].Identity != nil {
			t.Errorf("%s: apps of exchangers: %v", target, apps)
		}
		closeAll()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", target, diff)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%d"} {
			if text := fmt.Sprintf(verb, s); strings.Contains(text, "PrivateKey:") || strings.Contains(text, "inline") || strings.Contains(text, "in a file") {
				t.Errorf("%s: %s shows a client secret: %s", target, verb, text)
			}
		}
	}
}

// newCertificate is a key for ES256 and a certificate of it, in PEM.
func newCertificate(t *testing.T) (key, certificate string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	shown, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(name string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: der}))
	}
	return block("PRIVATE KEY", der), block("CERTIFICATE", shown)
}

// TestSecretFileIsAPipe: to open a pipe is to wait for who writes.
func TestSecretFileIsAPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s3cret")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecretFile(path); err == nil || err.Error() != "is not a regular file" {
		t.Error(err)
	}
	if _, err := readSecretFile(path + "/x"); !errors.Is(err, syscall.ENOTDIR) || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
}

// TestProviderFieldsAreDistinct: those of the app stand among those of the
// descriptor.
func TestProviderFieldsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, typ := range []reflect.Type{reflect.TypeFor[provider.Descriptor](), reflect.TypeFor[providerSettings]()} {
		for f := range typ.Fields() {
			name := f.Tag.Get("yaml")
			if seen[name] {
				t.Errorf("two fields are called %s", name)
			}
			seen[name] = true
		}
	}
}
