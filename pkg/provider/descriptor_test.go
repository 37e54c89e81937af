package provider

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files and docs/providers.md")

// golden compares got with a file. Tests that call it do not run in parallel,
// because -update writes.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; if that is meant, run with -update (-file +got):\n%s", path, cmp.Diff(string(want), string(got)))
	}
}

func each(t *testing.T, do func(t *testing.T, d Descriptor)) {
	t.Helper()
	set := Defaults()
	for _, name := range set.Names() {
		d, _ := set.Get(name)
		t.Run(name, func(t *testing.T) { do(t, d) })
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	names := Defaults().Names()
	for _, kind := range []string{"google", "linkedin", "amazon"} {
		if d, ok := Defaults().ForKind("oauth2-" + kind); !ok || d.Name != kind {
			t.Errorf("oauth2-%s is bound to %q", kind, d.Name)
		}
	}
	if len(names) < 17 {
		t.Errorf("ships %d providers: %v", len(names), names)
	}
	each(t, func(t *testing.T, d Descriptor) {
		if err := d.Validate(); err != nil {
			t.Error(err)
		}
		if d.Docs == "" || !strings.HasPrefix(d.Docs, "https://") {
			t.Errorf("docs %q is no page to read more on", d.Docs)
		}
		if d.Subject.From == "" {
			t.Error("nobody could notice another account's consent")
		}
		if d.Refresh.Issued != IssuedNever && d.Refresh.Offset == 0 {
			t.Error("no offset: a token of an hour needs less than one of a day")
		}
	})
}

// TestContract holds the interactive kinds to contract A9, A11, A13.
func TestContract(t *testing.T) {
	t.Parallel()
	g, _ := Defaults().Get("google")
	if g.AuthorizeURL != "https://accounts.google.com/o/oauth2/auth" || g.AuthorizeParams["access_type"] != "offline" || g.AuthorizeParams["approval_prompt"] != "force" {
		t.Errorf("authorization request: %s %v", g.AuthorizeURL, g.AuthorizeParams)
	}
	if g.Expiry.Fixed != time.Hour || g.Refresh.Offset != 30*time.Minute {
		t.Errorf("lifetime %v, offset %v", g.Expiry.Fixed, g.Refresh.Offset)
	}
	want := []string{"https://www.googleapis.com/auth/adwords", "https://www.googleapis.com/auth/pubsub"}
	if diff := cmp.Diff(want, g.Scopes.Allowed); diff != "" {
		t.Error(diff)
	}
	l, _ := Defaults().Get("linkedin")
	if diff := cmp.Diff(Consent{365 * day, 3, []time.Duration{30 * day, 14 * day, 7 * day, day}}, l.Consent); diff != "" {
		t.Error(diff)
	}
}

func TestDescriptorsGolden(t *testing.T) {
	var out bytes.Buffer
	set := Defaults()
	for _, name := range set.Names() {
		d, _ := set.Get(name)
		fmt.Fprintf(&out, "# %s\n", name)
		dump(&out, "", reflect.ValueOf(d))
		fmt.Fprintln(&out)
	}
	golden(t, "testdata/descriptors.golden", out.Bytes())
}

// dump writes the fields that are set, by their names in a configuration file.
func dump(out *bytes.Buffer, path string, v reflect.Value) {
	if d, ok := reflect.TypeAssert[time.Duration](v); ok {
		if d != 0 {
			fmt.Fprintf(out, "%s: %s\n", path, people(d))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("yaml"); name != "-" {
				dump(out, strings.TrimPrefix(path+"."+name, "."), v.Field(i))
			}
		}
	case reflect.Map:
		for _, name := range slices.Sorted(maps.Keys(stringKeys(v))) {
			dump(out, path+"."+name, v.MapIndex(reflect.ValueOf(name)))
		}
	case reflect.Slice:
		for i := range v.Len() {
			dump(out, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.String:
		// The empty name in a map of names says something.
		if v.Len() > 0 || strings.HasPrefix(path, "rename.") {
			fmt.Fprintf(out, "%s: %q\n", path, v.String())
		}
	default:
		if !v.IsZero() {
			fmt.Fprintf(out, "%s: %v\n", path, v.Interface())
		}
	}
}

func stringKeys(v reflect.Value) map[string]bool {
	keys := map[string]bool{}
	for _, k := range v.MapKeys() {
		keys[k.String()] = true
	}
	return keys
}

// people writes a duration in days where it can, and without its zeros.
func people(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := strings.Replace(d.String(), "m0s", "m", 1)
	return strings.Replace(text, "h0m", "h", 1)
}

// TestFieldsHaveNames proves that a configuration file can name every field, and
// each but once.
func TestFieldsHaveNames(t *testing.T) {
	t.Parallel()
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Map, reflect.Slice:
			visit(typ.Elem())
		case reflect.Struct:
			seen := map[string]bool{}
			for f := range typ.Fields() {
				name := f.Tag.Get("yaml")
				if name == "-" && f.Name == "Name" {
					continue
				}
				if !regexp.MustCompile(`^[a-z_]+$`).MatchString(name) || seen[name] {
					t.Errorf("%v.%s has the name %q", typ, f.Name, name)
				}
				seen[name] = true
				visit(f.Type)
			}
		}
	}
	visit(reflect.TypeFor[Descriptor]())
}

// TestCloneSharesNothing sets every map and slice of a descriptor, at any depth,
// and looks for one that its clone has too.
func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	d, _ := Defaults().Get("google")
	fill(reflect.ValueOf(&d).Elem())
	shared(t, "", reflect.ValueOf(d), reflect.ValueOf(d.Clone()))
	if diff := cmp.Diff(d, d.Clone()); diff != "" {
		t.Errorf("the clone differs:\n%s", diff)
	}
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range v.Fields() {
			fill(f)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		entry := reflect.New(v.Type().Elem()).Elem()
		fill(entry)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), entry)
	case reflect.String:
		v.SetString("x")
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Slice, reflect.Map:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
		if a.Kind() == reflect.Map {
			x := reflect.ValueOf("x")
			shared(t, path+".x", a.MapIndex(x), b.MapIndex(x))
		}
	}
}
