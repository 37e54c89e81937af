package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/config"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

const configurationPage = "../../docs/configuration.md"

// commands are the program's commands by the prefix of their variables.
func commands() map[string]*cobra.Command {
	return map[string]*cobra.Command{
		envPrefix: newServe(), envPrefix + "_SANDBOX": newSandbox(), envPrefix + "_DEMO": newDemo(),
	}
}

// TestFlagsAreDocumented compares the flags of each command, with their
// variables and defaults, with the table of the page.
func TestFlagsAreDocumented(t *testing.T) {
	for prefix, command := range commands() {
		t.Run(command.Name(), func(t *testing.T) {
			var want []string
			command.Flags().VisitAll(func(f *pflag.Flag) {
				want = append(want, strings.Join([]string{"--" + f.Name, config.EnvName(prefix, f.Name), defaultOf(f)}, " "))
			})
			got := documentedFlags(section(t, "rekindle "+command.Name()))
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("flags, variables, defaults (-program +%s):\n%s", configurationPage, diff)
			}
		})
	}
}

func defaultOf(f *pflag.Flag) string {
	if f.DefValue == "[]" { // how pflag writes an empty list
		return ""
	}
	return f.DefValue
}

var flagRow = regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| `([A-Z_]+)` \\| (?:`([^`]+)`)? *\\| \\S")

func documentedFlags(text string) (rows []string) {
	for _, m := range flagRow.FindAllStringSubmatch(text, -1) {
		rows = append(rows, strings.Join(m[1:], " "))
	}
	return rows
}

// section returns the part of the page under a heading of the second level.
func section(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", configurationPage, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// exampleIn returns the file shown in a section.
func exampleIn(t *testing.T, heading string) string {
	t.Helper()
	_, example, _ := strings.Cut(section(t, heading), "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatalf("there is no file under %q", heading)
	}
	return example
}

// TestFileIsDocumented decodes the page's file as the program does. It shows
// every field there is, each with its default.
func TestFileIsDocumented(t *testing.T) {
	example := exampleIn(t, "The file")
	s := settings{target: targetAll, listen: ":0", opsListen: ":0", logLevel: "info", dataDir: "data"}
	if _, err := config.Decode("page", strings.NewReader(example), &s.file); err != nil {
		t.Fatal(err)
	}
	if missing := unset(reflect.ValueOf(s.file), ""); len(missing) > 0 {
		t.Errorf("the page does not show %v", missing)
	}
	if err := s.resolve(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(secret.DefaultPolicy(), s.policy); diff != "" {
		t.Errorf("windows (-default +page):\n%s", diff)
	}
	for field, equal := range map[string]bool{
		"company.name":      s.file.Company.Name == api.DefaultCompany,
		"company.org":       s.file.Company.Org == api.DefaultOrg,
		"limits":            cmp.Equal(defaultLimits(), auth.Limits{Token: s.limits.Token, Address: s.limits.Address}),
		"nats.replicas":     s.file.NATS.Replicas == 1,
		"status.publish":    *s.file.Status.Publish,
		"exchanger.workers": s.file.Exchanger.Workers == exchanger.DefaultWorkers,
	} {
		if !equal {
			t.Errorf("%s on the page is not the default", field)
		}
	}
}

// unset returns the fields of the file that have their zero value.
func unset(v reflect.Value, path string) (fields []string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fields = append(fields, unset(v.Field(i), path+"."+v.Type().Field(i).Tag.Get("yaml"))...)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			fields = append(fields, unset(v.MapIndex(k), path+"."+k.String())...)
		}
	}
	if v.IsZero() {
		fields = append(fields, path)
	}
	return fields
}

// TestIssuersAreDocumented: the issuers of the page are valid, and show every field
// there is.
func TestIssuersAreDocumented(t *testing.T) {
	s := settings{target: targetAll, listen: ":0", opsListen: ":0", logLevel: "info", dataDir: "data"}
	text := section(t, "OpenID providers")
	if _, err := config.Decode("page", strings.NewReader(exampleIn(t, "OpenID providers")), &s.file); err != nil {
		t.Fatal(err)
	}
	if err := s.resolve(); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, i := range s.file.Auth.OIDC {
		show(reflect.ValueOf(i), "", shown)
	}
	for field, is := range shown {
		if !is {
			t.Errorf("the page does not show %s", field)
		}
	}
	for _, right := range auth.AllRights() {
		if !strings.Contains(text, "`"+string(right)+"`") {
			t.Errorf("the page does not name the right %s", right)
		}
	}
}

// TestProvidersAreDocumented: the providers of the page are valid, and show
// every field there is.
func TestProvidersAreDocumented(t *testing.T) {
	example := exampleIn(t, "Providers")
	var file fileSettings
	if _, err := config.Decode("page", strings.NewReader(example), &file); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, p := range file.Providers {
		show(reflect.ValueOf(p), "", shown)
	}
	for _, field := range slices.Sorted(maps.Keys(shown)) {
		if !shown[field] {
			t.Errorf("the page does not show providers.*.%s", field)
		}
	}
	key, certificate := newCertificate(t)
	example = strings.ReplaceAll(example, "/run/secrets", "DIR")
	s, wrong := resolveFile(t, targetAll, example, map[string]string{
		"google": "secret\n", "okta.key": key, "auth0.key": key, "auth0.pem": certificate,
	})
	if wrong != nil {
		t.Fatal(wrong)
	}
	if diff := cmp.Diff([]string{"acme", "auth0", "dropbox", "google", "okta"}, slices.Sorted(maps.Keys(s.apps))); diff != "" {
		t.Errorf("apps of the page:\n%s", diff)
	}
}

// show notes for each field, in whatever entry of a map or list it is, whether
// it is set.
func show(v reflect.Value, path string, shown map[string]bool) {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		show(reflect.Zero(v.Type().Elem()), path, shown)
		for _, entry := range v.Seq2() {
			show(entry, path, shown)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[clientSecret]() {
			shown[path] = shown[path] || !v.IsZero()
			return
		}
		for field, value := range v.Fields() {
			switch name := field.Tag.Get("yaml"); name {
			case "-":
			case ",inline":
				show(value, path, shown)
			default:
				show(value, strings.TrimPrefix(path+"."+name, "."), shown)
			}
		}
	default:
		shown[path] = shown[path] || !v.IsZero()
	}
}

// TestVariablesAreKnown: every variable that any document names is one of the
// program's.
func TestVariablesAreKnown(t *testing.T) {
	known := []string{envBootstrap, envToken}
	newSecret().PersistentFlags().VisitAll(func(f *pflag.Flag) { known = append(known, config.EnvName(envPrefix, f.Name)) })
	for prefix, command := range commands() {
		command.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, config.EnvName(prefix, f.Name)) })
	}
	variable := regexp.MustCompile(`\bREKINDLE_[A-Z_]*[A-Z]\b`)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/configuration.md", "docs/commands.md", "docs/threat-model.md"} {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range variable.FindAllString(string(text), -1) {
			if !slices.Contains(known, v) {
				t.Errorf("%s names %s, which the program does not know", name, v)
			}
		}
	}
}
