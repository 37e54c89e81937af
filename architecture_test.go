package rekindle_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/ops"
)

const module = "github.com/rekindle-dev/rekindle/"

// imports says what each package may import, of this repository and from
// outside (by prefix; the standard library is free). A package that is not in
// the table fails the test: whoever adds one decides where it stands.
var imports = map[string]struct{ here, outside []string }{
	"events":                  {here: []string{"events/internal/"}},
	"events/intake":           {here: []string{"events", "events/internal/", "events/sealing"}},
	"events/sealing":          {},
	"events/internal/body":    {},
	"events/internal/golden":  {},
	"events/internal/subject": {},
	"events/schema":           {},
	"pkg/work":                {},
	"pkg/run":                 {},
	"pkg/ledger":              {here: []string{"events"}},
	"pkg/seal":                {here: []string{"events/sealing"}},
	"pkg/audit":               {},
	"pkg/provider":            {},
	"pkg/webhook":             {},
	"pkg/state":               {},
	"pkg/record":              {},
	"pkg/rendezvous":          {},
	"pkg/secret":              {here: []string{"events/sealing", "pkg/record", "pkg/state"}},
	"pkg/transfer":            {here: []string{"pkg/secret", "pkg/seal"}, outside: []string{"golang.org/x/sync"}},
	"pkg/egress":              {outside: []string{"code.dny.dev/ssrf"}},
	"pkg/endpoint":            {here: []string{"pkg/state"}},
	"pkg/config":              {outside: []string{"github.com/goccy/go-yaml", "github.com/spf13/pflag"}},
	"pkg/ops":                 {outside: []string{"go.opentelemetry.io/", "github.com/prometheus/", "golang.org/x/term"}},
	"pkg/natsd":               {outside: []string{"github.com/nats-io/"}},
	"pkg/bus": {
		here:    []string{"events", "events/intake", "pkg/audit", "pkg/ledger", "pkg/state", "pkg/work"},
		outside: []string{"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/jwt/v2", "github.com/ThreeDotsLabs/watermill", "github.com/nats-io/nuid", "go.opentelemetry.io/otel", "github.com/prometheus/client_golang"},
	},
	"services/scheduler": {
		here:    []string{"events", "pkg/endpoint", "pkg/rendezvous", "pkg/secret", "pkg/state", "pkg/work"},
		outside: []string{"go.opentelemetry.io/otel", "github.com/prometheus/client_golang"},
	},
	"services/exchanger": {
		here:    []string{"events", "pkg/egress", "pkg/endpoint", "pkg/provider", "pkg/secret", "pkg/state", "pkg/work", "pkg/seal", "pkg/transfer"},
		outside: []string{"go.opentelemetry.io/otel", "github.com/prometheus/client_golang", "golang.org/x/oauth2", "golang.org/x/sync"},
	},
	"services/api": {
		here:    []string{"events", "events/intake", "events/sealing", "pkg/audit", "pkg/ledger", "pkg/provider", "pkg/secret", "pkg/state", "pkg/webhook", "pkg/work", "pkg/seal", "services/api/auth"},
		outside: []string{"go.opentelemetry.io/otel", "github.com/prometheus/client_golang", "golang.org/x/time/rate"},
	},
	"services/api/auth": {outside: []string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "golang.org/x/time/rate"}},
	"services/courier": {
		here:    []string{"pkg/audit", "pkg/egress", "pkg/state", "pkg/webhook"},
		outside: []string{"github.com/prometheus/client_golang"},
	},
	"services/api/callback": {
		here:    []string{"services/api", "pkg/seal", "pkg/secret"},
		outside: []string{"go.opentelemetry.io/otel", "github.com/prometheus/client_golang"},
	},
	"services/api/intake": {
		here:    []string{"events", "events/intake", "services/api", "services/api/auth", "pkg/secret", "pkg/state", "pkg/work"},
		outside: []string{"github.com/prometheus/client_golang"},
	},
	"services/api/reactor": {
		here:    []string{"events", "events/schema", "services/api", "services/api/auth", "pkg/audit", "pkg/ledger", "pkg/secret", "pkg/state", "pkg/seal", "pkg/webhook", "pkg/work"},
		outside: []string{"go.opentelemetry.io/", "github.com/prometheus/client_golang", "golang.org/x/time/rate"},
	},
	"services/api/apitest":         {here: []string{"events", "pkg/audit/audittest", "pkg/ledger", "pkg/provider", "pkg/seal", "pkg/secret", "pkg/state", "pkg/state/statetest", "pkg/webhook", "pkg/work", "services/api", "services/api/auth", "services/courier"}, outside: []string{"github.com/prometheus/client_golang"}},
	"services/api/client":          {},
	"services/api/status":          {here: []string{"events", "pkg/rendezvous", "pkg/secret", "pkg/state"}, outside: []string{"github.com/prometheus/client_golang"}},
	"services/sandbox":             {},
	"services/sandbox/sandboxtest": {here: []string{"services/sandbox"}},
	"pkg/audit/audittest":          {here: []string{"pkg/audit"}},
	"pkg/state/statetest":          {here: []string{"pkg/state"}},
	"cmd/rekindle": {
		here:    []string{"events", "events/", "pkg/", "services/"},
		outside: []string{"github.com/spf13/", "github.com/nats-io/nuid", "golang.org/x/", "go.opentelemetry.io/otel"},
	},
}

// Names that say nothing about what a package is for.
var drawers = []string{"util", "utils", "common", "base", "types", "models", "manager", "helper", "helpers", "misc", "core"}

const (
	maxFileLines     = 600
	maxFunctionLines = 100
)

// source is a parsed file of the product, tests left out.
type source struct {
	path string // from the root of the repository, with slashes
	dir  string
	file *ast.File
	fset *token.FileSet
}

// sources parses every file of the product in this process. A version that asks
// `go list` would pass from the test cache when only the graph has changed.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"tools", "test", "bin", "data", "testdata", "examples"}, d.Name())):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		all = append(all, source{p, path.Dir(p), f, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d source files: is this the root of the repository?", len(all))
	}
	return all
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		rule, ok := imports[s.dir]
		if !ok {
			t.Errorf("%s: the package %s is not in the table of import rules", s.path, s.dir)
			continue
		}
		seen[s.dir] = true
		for _, spec := range s.file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if here, ours := strings.CutPrefix(name, module); ours {
				if !allowed(here, rule.here, true) {
					t.Errorf("%s: must not import %s", s.path, here)
				}
			} else if strings.Contains(strings.Split(name, "/")[0], ".") && !allowed(name, rule.outside, false) {
				t.Errorf("%s: must not import %s", s.path, name)
			}
		}
	}
	for dir := range imports {
		if !seen[dir] {
			t.Errorf("the table of import rules has %s, the repository has not", dir)
		}
	}
}

// allowed reports whether a rule admits a package: by name, or by a prefix. A
// rule of this repository is a prefix only when it ends in a slash.
func allowed(name string, rules []string, exact bool) bool {
	return slices.ContainsFunc(rules, func(rule string) bool {
		switch {
		case exact && !strings.HasSuffix(rule, "/"):
			return name == rule
		case strings.HasSuffix(rule, "/"):
			return strings.HasPrefix(name, rule)
		default:
			return name == rule || strings.HasPrefix(name, rule+"/")
		}
	})
}

func TestNoDrawers(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(drawers, s.file.Name.Name) {
			t.Errorf("%s: a package called %s says nothing about what it is for", s.path, s.file.Name.Name)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		lines := func(n ast.Node) int { return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1 }
		if n := lines(s.file); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxFileLines)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && lines(f) > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name, lines(f), maxFunctionLines)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.dir] = documented[s.dir] || s.file.Doc != nil
	}
	for _, dir := range slices.Sorted(maps.Keys(documented)) {
		if !documented[dir] {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// TestNoInit keeps effects out of the start of the program.
func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init has effects that nobody asked for", s.path)
			}
		}
	}
}

// TestAPICannotOpen: the api process takes credentials it can never read, so
// nothing in it may reach for what opens. It may hold a seal.Reply, which opens
// the answer to its own question and nothing that is stored.
func TestAPICannotOpen(t *testing.T) {
	opening := []string{"Opener", "NewOpener", "Keyring", "NewKeyring", "LoadKeyring", "CreateKeyring", "ParseKeyring", "SaveKeyring"}
	for _, s := range sources(t) {
		tests := s.dir == "services/api/apitest"
		if s.dir == "services/scheduler" || strings.HasPrefix(s.dir, "services/api") && !tests {
			eachSelector(s, func(pkg, name string, pos token.Position) {
				if pkg == "seal" && slices.Contains(opening, name) {
					t.Errorf("%s: seal.%s is for exchangers only", pos, name)
				}
			})
		}
	}
}

func eachSelector(s source, visit func(pkg, name string, pos token.Position)) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				visit(x.Name, sel.Sel.Name, s.fset.Position(sel.Pos()))
			}
		}
		return true
	})
}

// TestLogKeys: a literal key in a call of a logger is one of the closed list.
// The logger drops others at run time; here whoever writes one learns of it.
func TestLogKeys(t *testing.T) {
	// How many arguments stand before the first key.
	before := map[string]int{
		"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0,
		"DebugContext": 2, "InfoContext": 2, "WarnContext": 2, "ErrorContext": 2,
	}
	checked := 0
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			skip, logs := 0, false
			if ok {
				skip, logs = before[sel.Sel.Name]
			}
			if !logs || !isLogger(sel.X) || len(call.Args) <= skip {
				return true
			}
			for i := skip; i < len(call.Args); i += 2 {
				lit, ok := call.Args[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true // attributes and constants: the run-time check has them
				}
				checked++
				if key, _ := strconv.Unquote(lit.Value); !ops.KnownKey(key) {
					t.Errorf("%s: the log key %q is not in the list of pkg/ops", s.fset.Position(lit.Pos()), key)
				}
			}
			return true
		})
	}
	if checked < 20 {
		t.Errorf("found only %d log keys: does this test still know what a logger is called?", checked)
	}
}

// isLogger recognises loggers by their name, as there are no types here.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"log", "logger"}, x.Name)
	case *ast.SelectorExpr:
		return slices.Contains([]string{"log", "Log", "logger", "Logger"}, x.Sel.Name)
	default:
		return false
	}
}
