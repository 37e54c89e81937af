package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/ops"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/exchanger"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// settings is what a deployment decides: flags, their variables, and the file.
type settings struct {
	target      string
	listen      string
	opsListen   string
	dataDir     string
	nats        natsFlags
	publicURL   string
	configFile  string
	keyring     string
	callbacks   string // the file of the key they are signed with
	egressAllow []string
	logFormat   string
	logLevel    string

	// bootstrap is the first administrator's bearer token, if it is given.
	bootstrap string

	file fileSettings

	// serving, if not nil, is told the base URL once the API is served.
	serving func(base string)
	// reached is nil in the program; tests have it tell of the exchanger's steps.
	reached func(exchanger.Step)
	// local is nil in the program; tests have it be the clock of a machine that is wrong.
	local func() time.Time

	// What the above comes to.
	allow  []netip.Prefix
	level  slog.Level
	policy secret.Policy
	// issuers and limits are for apis.
	issuers []auth.Issuer
	limits  auth.Limits
	// budgets are for schedulers.
	budgets scheduler.Budgets

	// apps are those the file registers, placeholders filled.
	apps provider.Apps
	// proofs are what the apps prove themselves by, by provider, where the process
	// runs an exchanger; elsewhere there are none.
	proofs map[string]proof
}

// fileSettings is the configuration file.
type fileSettings struct {
	// Company is made at the start, unless its organisation has one.
	Company struct {
		Name string `yaml:"name"`
		Org  string `yaml:"org"`
	} `yaml:"company"`
	// Windows replaces validity windows, by kind.
	Windows map[string]windowSettings `yaml:"windows"`
	// Auth is whose tokens are taken besides those that were made here.
	Auth authSettings `yaml:"auth"`
	// Limits is how often requests are admitted.
	Limits limitsSettings `yaml:"limits"`
	// CORS is which pages may use the API.
	CORS corsSettings `yaml:"cors"`
	// Budgets is how much providers are asked.
	Budgets budgetsSettings `yaml:"budgets"`
	// Providers changes or adds providers, and registers apps, by name.
	Providers map[string]providerSettings `yaml:"providers"`
	NATS      struct {
		// Replicas of the streams when they are made: 1, 3 or 5.
		Replicas int `yaml:"replicas"`
	} `yaml:"nats"`
	// Audit is how much of the audit trail is kept.
	Audit struct {
		Keep  config.Duration `yaml:"keep"`
		Bytes int64           `yaml:"bytes"`
	} `yaml:"audit"`
	// Status is what is shown to whoever watches the bus.
	Status struct {
		// Publish tells whether it is; nil means that it is.
		Publish *bool `yaml:"publish"`
	} `yaml:"status"`
	Exchanger struct {
		// Workers is how many jobs one exchanger works on at a time.
		Workers int `yaml:"workers"`
		// Timeout bounds one exchange.
		Timeout config.Duration `yaml:"timeout"`
	} `yaml:"exchanger"`
}

type windowSettings struct {
	MinValidity   *config.Duration `yaml:"min_validity"`
	MinInterval   *config.Duration `yaml:"min_interval"`
	DefaultOffset *config.Duration `yaml:"default_offset"`
	Jitter        *config.Duration `yaml:"jitter"`
}

const (
	targetAll       = "all"
	targetAPI       = "api"
	targetScheduler = "scheduler"
	targetExchanger = "exchanger"
)

var targets = []string{targetAll, targetAPI, targetScheduler, targetExchanger}

func (s *settings) bind(f *pflag.FlagSet) {
	f.StringVar(&s.target, "target", targetAll, "what to run: all, api, scheduler or exchanger")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8080", "address of the HTTP API")
	f.StringVar(&s.opsListen, "ops-listen", "127.0.0.1:9090", "address for health, readiness, metrics and profiles")
	f.StringVar(&s.dataDir, "data-dir", defaultDataDir, "directory for the embedded NATS server, the keyring and the bootstrap token")
	f.StringVar(&s.nats.url, "nats-url", "", "NATS server to use instead of the embedded one, e.g. nats://user:password@host:4222")
	s.nats.bindIdentity(f)
	f.StringVar(&s.publicURL, "public-url", "", "base URL of the links in answers (default: http:// and the address of --listen)")
	f.StringVar(&s.configFile, "config", "", "configuration file (YAML)")
	f.StringVar(&s.keyring, "keyring", "", "file with the private keys of the exchangers (default: keyring.json in the data directory)")
	f.StringVar(&s.callbacks, "callbacks-key", "", "file with the key that callbacks are signed with (default: callbacks.key in the data directory)")
	f.StringSliceVar(&s.egressAllow, "egress-allow", nil, "networks (CIDR) that token endpoints and callbacks may be in besides public addresses; there plain http will do")
	f.StringVar(&s.logFormat, "log-format", "", "text or json (default: text on a terminal, json elsewhere)")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
}

// resolve reads the configuration file and checks everything; its error names
// all that is wrong.
func (s *settings) resolve() error {
	var errs config.Errors
	var unread error
	s.file.addShipped()
	if s.configFile != "" {
		errs.At, unread = config.Load(s.configFile, &s.file)
	}
	errs.Check(slices.Contains(targets, s.target), "--target", "there is no such target", "use "+strings.Join(targets, ", "))
	errs.Check(s.nats.url != "" || s.target == targetAll, "--nats-url", "a single target needs a NATS server to share with the others", "name one, or run --target all")
	s.nats.check(&errs)
	errs.Check(s.dataDir != "", "--data-dir", "empty", "name a directory")
	errs.Check(s.bootstrap == "" || isToken(s.bootstrap), envBootstrap, "not a bearer token", "use "+tokenForm)
	s.checkListeners(&errs)
	s.checkPublicURL(&errs)
	s.checkCompany(&errs)
	s.checkLogs(&errs)
	s.checkAllow(&errs)
	s.checkWindows(&errs)
	s.checkAccess(&errs)
	s.checkBudgets(&errs)
	s.checkProviders(&errs)
	s.checkStreams(&errs)
	errs.Check(s.file.Exchanger.Workers >= 0 && s.file.Exchanger.Workers <= maxWorkers, "exchanger.workers", "out of bounds",
		fmt.Sprintf("use 1 to %d, or leave it out for %d", maxWorkers, exchanger.DefaultWorkers))
	errs.Check(time.Duration(s.file.Exchanger.Timeout) <= time.Minute, "exchanger.timeout", "too long", "use at most 1m, or leave it out for 10s")
	if err := errors.Join(unread, errs.Err()); err != nil {
		return &usageError{err}
	}
	if s.keyring == "" {
		s.keyring = filepath.Join(s.dataDir, "keyring.json")
	}
	if s.callbacks == "" {
		s.callbacks = filepath.Join(s.dataDir, "callbacks.key")
	}
	if s.file.Company.Org == "" {
		s.file.Company.Org = api.DefaultOrg
	}
	return nil
}

// minAuditBytes is room for some hundred thousand entries.
const minAuditBytes = 64 << 20

func (s *settings) checkStreams(errs *config.Errors) {
	errs.Check(slices.Contains([]int{0, 1, 3, 5}, s.file.NATS.Replicas), "nats.replicas", "no such number of replicas", "use 1, 3 or 5")
	keep, bytes := time.Duration(s.file.Audit.Keep), s.file.Audit.Bytes
	errs.Check(keep == 0 || keep >= 24*time.Hour, "audit.keep", "too short", "use at least 1d, or leave it out for 400d")
	errs.Check(bytes == 0 || bytes >= minAuditBytes, "audit.bytes", "too little",
		fmt.Sprintf("use at least %d, or leave it out for %d", minAuditBytes, bus.DefaultAuditBytes))
}

const maxWorkers = 4096

func (s *settings) runs(target string) bool { return s.target == targetAll || s.target == target }

func (s *settings) embedded() bool { return s.nats.url == "" }

func (s *settings) checkListeners(errs *config.Errors) {
	checkAddress(errs, "--listen", s.listen)
	checkAddress(errs, "--ops-listen", s.opsListen)
	_, port, _ := net.SplitHostPort(s.listen) //nolint:errcheck // it was checked
	errs.Check(s.listen != s.opsListen || port == "0" || !s.runs(targetAPI), "--ops-listen", "the same address as --listen", "use another port")
}

func checkAddress(errs *config.Errors, flag, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	errs.Check(err == nil, flag, "not an address", "use host:port, e.g. 127.0.0.1:8080, or :8080 for all interfaces")
}

// Bounds of what the file says of the company, in characters.
const (
	maxOrg  = 128
	maxName = 255
)

// checkCompany holds the organisation to what a header can carry.
func (s *settings) checkCompany(errs *config.Errors) {
	org, name := s.file.Company.Org, s.file.Company.Name
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	errs.Check(len(org) <= maxOrg && strings.TrimSpace(org) == org && !strings.ContainsFunc(org, unprintable), "company.org",
		"not an organisation", fmt.Sprintf("use at most %d printable ASCII characters, without a space at either end", maxOrg))
	errs.Check(utf8.RuneCountInString(name) <= maxName && !strings.ContainsFunc(name, unicode.IsControl), "company.name",
		"not a name", fmt.Sprintf("use at most %d characters, none of them a control character", maxName))
}

func (s *settings) checkPublicURL(errs *config.Errors) {
	if s.publicURL == "" {
		return
	}
	u, err := url.Parse(s.publicURL)
	errs.Check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && !strings.ContainsAny(s.publicURL, "?#"),
		"--public-url", "not a base URL", "use one like https://rekindle.example.com")
	s.publicURL = strings.TrimRight(s.publicURL, "/")
}

func (s *settings) checkLogs(errs *config.Errors) {
	errs.Check(slices.Contains([]string{"", string(ops.LogText), string(ops.LogJSON)}, s.logFormat), "--log-format", "there is no such format", "use text or json")
	errs.Check(s.level.UnmarshalText([]byte(s.logLevel)) == nil, "--log-level", "there is no such level", "use debug, info, warn or error")
}

func (s *settings) checkAllow(errs *config.Errors) {
	for i, text := range s.egressAllow {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		errs.Check(err == nil, "--egress-allow", fmt.Sprintf("entry %d is not a network", i+1), "use CIDR notation, e.g. 10.0.0.0/8,fd00::/8")
		errs.Check(!p.Addr().Is4In6(), "--egress-allow", fmt.Sprintf("entry %d is an IPv4 network written as IPv6", i+1), "write it as IPv4, e.g. 10.0.0.0/8")
		if err == nil {
			s.allow = append(s.allow, p.Masked())
		}
	}
}

func (s *settings) checkWindows(errs *config.Errors) {
	s.policy = secret.DefaultPolicy()
	named := map[secret.Kind]string{}
	for _, name := range slices.Sorted(maps.Keys(s.file.Windows)) {
		kind := secret.Kind(name)
		field := "windows." + name
		if !kind.Known() || !kind.Expires() || kind.Interactive() {
			errs.Check(false, field, "not a kind with validity windows", "use oauth2 or oauth2-jwt; that of an interactive kind is its provider's refresh.offset")
			continue
		}
		if other, twice := named[kind.Canonical()]; twice {
			errs.Check(false, field, "is another name of "+other+", which is there too", "use one")
			continue
		}
		named[kind.Canonical()] = name
		s.policy[kind.Canonical()] = checkWindow(errs, field, s.policy.Window(kind), s.file.Windows[name])
	}
}

// checkWindow returns the window with what the file says of it.
func checkWindow(errs *config.Errors, field string, window secret.Window, by windowSettings) secret.Window {
	override(&window.MinValidity, by.MinValidity)
	override(&window.MinInterval, by.MinInterval)
	override(&window.DefaultOffset, by.DefaultOffset)
	override(&window.Jitter, by.Jitter)
	errs.Check(max(window.MinValidity, window.MinInterval, window.DefaultOffset, window.Jitter) <= secret.MaxLifetime, field,
		"longer than a hundred years", "use less")
	errs.Check(window.MinValidity-window.MinInterval >= window.DefaultOffset, field, // as a sum it could overflow
		"a token of the least validity, refreshed at the default offset, would break the least interval",
		"make min_validity at least min_interval + default_offset")
	errs.Check(window.DefaultOffset%time.Second == 0, field+".default_offset", "not in whole seconds", "use whole seconds")
	return window
}

// override replaces a default by what the file says, if it says anything.
func override(value *time.Duration, by *config.Duration) {
	if by != nil {
		*value = time.Duration(*by)
	}
}
