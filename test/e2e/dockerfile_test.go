package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDockerfileIsClean(t *testing.T) {
	for _, w := range rekindle.warnings {
		t.Error(w)
	}
}

// TestImage checks what the image promises to those who run it by itself.
func TestImage(t *testing.T) {
	if rekindle.base != "scratch" {
		t.Errorf("it stands on %s, want scratch", rekindle.base)
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(rekindle.user) {
		t.Errorf("its user is %q, want numbers, for there are no names, and not root", rekindle.user)
	}
	for _, v := range rekindle.volumes {
		if owner := rekindle.owner[v]; owner != rekindle.user {
			t.Errorf("volume %s belongs to %q, want the user %q", v, owner, rekindle.user)
		}
	}
	if dir := rekindle.env["REKINDLE_DATA_DIR"]; !slices.Contains(rekindle.volumes, dir) {
		t.Errorf("REKINDLE_DATA_DIR=%s is no volume", dir)
	}
	for name := range rekindle.env {
		if !slices.Contains(variables(t), name) {
			t.Errorf("ENV %s: the program knows no such variable", name)
		}
	}
	listens := []string{rekindle.env["REKINDLE_LISTEN"], rekindle.env["REKINDLE_OPS_LISTEN"]}
	exposed := make([]string, len(rekindle.ports))
	for i, p := range rekindle.ports {
		exposed[i] = ":" + p
	}
	if diff := cmp.Diff(listens, exposed); diff != "" {
		t.Errorf("the listeners are not the ports exposed (-ENV +EXPOSE):\n%s", diff)
	}
	understands(t, rekindle.cmd)
}

func TestImageHasItsVersion(t *testing.T) {
	out, code, err := runProgram(t.Context(), "--version")
	if want := "rekindle " + imageVersion + "\n"; err != nil || code != 0 || out != want {
		t.Errorf("--version printed %q and ended with %d, %v, want %q", out, code, err, want)
	}
}

// TestImageIsBuiltWithTheRightGo compares the golang image with go.mod.
func TestImageIsBuiltWithTheRightGo(t *testing.T) {
	asked := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(readFile(t, inRepository(t, "go.mod")))
	if asked == nil {
		t.Fatal("go.mod asks for no version of Go")
	}
	if want := "golang:" + string(asked[1]); rekindle.goImage != want {
		t.Errorf("it is built in %s, want %s", rekindle.goImage, want)
	}
}

// TestBuildContextIsSmall keeps out of the build what would only spoil its cache.
func TestBuildContextIsSmall(t *testing.T) {
	context := filepath.Join(filepath.Dir(rekindle.root), "context")
	entries, err := os.ReadDir(context)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"cmd", "events", "go.mod", "go.sum", "pkg", "services"}, names); diff != "" {
		t.Errorf("at the top of the build context (-want +got):\n%s", diff)
	}
}

// understands fails the test unless the program knows the command, its flags and
// their values: asked for help, it first reads all else.
func understands(t *testing.T, args []string) (help string) {
	t.Helper()
	help, code, err := runProgram(t.Context(), append(slices.Clone(args), "--help")...)
	if err != nil {
		t.Fatal(err)
	}
	command := slices.Clone(args)
	if end := slices.IndexFunc(args, func(arg string) bool { return strings.ContainsAny(arg[:1], "-/") }); end >= 0 {
		command = args[:end]
	}
	if code != 0 || len(args) == 0 || !strings.Contains(help, "\n  rekindle "+strings.Join(command, " ")+" ") {
		t.Errorf("rekindle %s: not understood: %s", strings.Join(args, " "), help)
	}
	return help
}

// variables returns the environment variables of rekindle serve.
func variables(t *testing.T) []string {
	t.Helper()
	names := []string{"REKINDLE_BOOTSTRAP_TOKEN"} // the one without a flag
	for _, flag := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(understands(t, []string{"serve"}), -1) {
		if flag[1] != "help" {
			names = append(names, "REKINDLE_"+strings.ToUpper(strings.ReplaceAll(flag[1], "-", "_")))
		}
	}
	if len(names) < 9 {
		t.Fatalf("found only the variables %v: is the help read rightly?", names)
	}
	return names
}
