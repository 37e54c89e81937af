package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"
)

// TestSettingsRefuse gives settings that would do one that does not. The error
// names it, is a usage error, and does not show the value.
func TestSettingsRefuse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags []string
		file  string
		want  string
	}{
		"port":           {flags: []string{"--listen=canary:65536"}, want: "--listen: not an address"},
		"one address":    {flags: []string{"--listen=canary:1", "--ops-listen=canary:1"}, want: "--ops-listen: the same address"},
		"no directory":   {flags: []string{"--data-dir="}, want: "--data-dir: empty"},
		"NATS scheme":    {flags: []string{"--nats-url=canary://host"}, want: "--nats-url: not the URL"},
		"no server":      {flags: []string{"--nats-creds=canary"}, want: "--nats-creds, --nats-vault-creds, --nats-ca: for a NATS server that is not named"},
		"no creds":       {flags: []string{"--nats-url=nats://h", "--nats-creds=canary"}, want: "--nats-creds: no such file"},
		"vault alone":    {flags: []string{"--nats-url=nats://h", "--nats-vault-creds=canary"}, want: "--nats-vault-creds: only one of two accounts has credentials"},
		"empty query":    {flags: []string{"--public-url=http://canary/?"}, want: "--public-url: not a base URL"},
		"no host":        {flags: []string{"--public-url=http://:80"}, want: "--public-url: not a base URL"},
		"mapped":         {flags: []string{"--egress-allow=10.0.0.0/8,::ffff:10.0.0.0/104"}, want: "--egress-allow: entry 2 is an IPv4 network"},
		"org":            {file: "company: {org: \"canary\\n\"}", want: "company.org: not an organisation"},
		"long org":       {file: "company: {org: " + strings.Repeat("x", 129) + "}", want: "company.org: not an organisation"},
		"company":        {file: "company: {name: \"canary\\a\"}", want: "company.name: not a name"},
		"two names":      {file: "windows: {oauth2: {}, oauth2-client_credentials: {}}", want: "windows.oauth2-client_credentials: is another name of oauth2, which is there too; use one"},
		"endless window": {file: "windows: {oauth2: {min_validity: 36501d}}", want: "windows.oauth2: longer than a hundred years"},
		"endless jitter": {file: "windows: {oauth2-jwt: {jitter: 36501d}}", want: "windows.oauth2-jwt: longer than a hundred years"},
		"overflow":       {file: "windows: {oauth2: {min_interval: 106751d, default_offset: 106751d}}", want: "would break the least interval"},
		"rate":           {file: "budgets: {default: {rate: -1}}", want: "budgets.default.rate: out of bounds"},
		"burst":          {file: "budgets: {hosts: {h: {burst: -1}}}", want: "budgets.hosts.h.burst: out of bounds"},
		"concurrency":    {file: "budgets: {hosts: {h: {concurrency: 0}}}", want: "budgets.hosts.h.concurrency: out of bounds"},
		"issuer":         {file: "auth: {oidc: [{issuer: \"http://canary.example\"}]}", want: "auth.oidc[0].issuer: not the URL of an issuer"},
		"no audience":    {file: "auth: {oidc: [{issuer: \"https://canary.example\"}]}", want: "auth.oidc[0].audience: missing"},
		"no org":         {file: "auth: {oidc: [{audience: canary}]}", want: "auth.oidc[0].organisation: must be said in one way"},
		"no rights":      {file: "auth: {oidc: [{rights_claim: canary}]}", want: "auth.oidc[0].rights: missing"},
		"a right":        {file: "auth: {oidc: [{rights: {r: [canary]}}]}", want: "auth.oidc[0].rights.r: there is no such right"},
		"twice":          {file: "auth: {oidc: [{audience: canary}, {audience: canary}]}", want: "auth.oidc[1].issuer: is there twice"},
		"token rate":     {file: "limits: {token: {rate: -1}}", want: "limits.token.rate: out of bounds"},
		"no burst":       {file: "limits: {address: {burst: 0}}", want: "limits.address.burst: out of bounds"},
		"proxy":          {file: "limits: {proxies: [10.0.0.0/8, canary]}", want: "limits.proxies[1]: not a network"},
		"origin":         {file: "cors: {origins: [\"https://canary.example/\"]}", want: "cors.origins[0]: not an origin"},
		"any origin":     {file: "cors: {origins: [\"*\"]}", want: "cors.origins[0]: not an origin"},
		"a URL":          {file: "budgets: {hosts: {\"https://h/token\": {rate: 1}}}", want: "not a token host; use the host of a token_url"},
		"capitals":       {file: "budgets: {hosts: {Auth.test: {rate: 1}}}", want: "budgets.hosts.Auth.test: not a token host"},
		"audit":          {file: "audit: {keep: 1h, bytes: -1}", want: "audit.keep: too short; use at least 1d, or leave it out for 400d"},
		"audit bytes":    {file: "audit: {bytes: 1}", want: "audit.bytes: too little"},
		"unread file":    {file: "canary: 1", flags: []string{"--log-level=loud"}, want: "--log-level: there is no such level"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f.yaml")
			if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var s settings
			flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
			s.bind(flags)
			if err := flags.Parse(append([]string{"--config", path}, tc.flags...)); err != nil {
				t.Fatal(err)
			}
			err := s.resolve()
			if err == nil || !strings.Contains(err.Error(), tc.want) || !isUsage(err) {
				t.Fatalf("got %v, want a usage error with %q", err, tc.want)
			}
			if name != "unread file" && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

// TestExitCodes are those of what is not understood.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"nothing"},
		{"serve", "extra"},
		{"serve", "--nothing"},
		{"serve", "--config", "/nowhere"},
		{"sandbox", "--lifetime=x"},
		{"demo", "--rounds=-1"},
	} {
		var out strings.Builder
		if code := execute(args, strings.NewReader(""), &out, &out); code != 2 {
			t.Errorf("%v: exit code %d, want 2: %s", args, code, out.String())
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, bootstrapFile)
	const token = "0123456789abcdef"
	if err := writeToken(path, token); err != nil {
		t.Fatal(err)
	}
	if err := writeToken(path, "another-token-of-some-length"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second token was written: %v", err)
	}
	if got, err := readToken(path); got != token {
		t.Errorf("read %q, %v", got, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left %d files, want the token only", len(files))
	}
	for name, spoil := range map[string]struct {
		do   func(path string) error
		want string
	}{
		"mode":    {func(p string) error { return os.WriteFile(p, []byte(token), 0o640) }, "run chmod 600"},
		"pipe":    {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		"short":   {func(p string) error { return os.WriteFile(p, []byte(token[1:]), 0o600) }, "must hold 16 to 4096"},
		"long":    {func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", maxToken+1)), 0o600) }, "must hold"},
		"a space": {func(p string) error { return os.WriteFile(p, []byte(token+" "+token), 0o600) }, "must hold"},
	} {
		p := filepath.Join(dir, name)
		if err := spoil.do(p); err != nil {
			t.Fatal(err)
		}
		if _, err := readToken(p); err == nil || !strings.Contains(err.Error(), spoil.want) {
			t.Errorf("%s: got %v, want %q", name, err, spoil.want)
		}
	}
}
