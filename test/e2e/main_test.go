package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The programs under test, built by TestMain.
var (
	rekindle   *image
	natsServer string // path
)

// imageVersion is the version the image is built as.
const imageVersion = "v0.0.0-e2e"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "rekindle-e2e-")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			code = max(code, fail(err))
		}
	}()
	if err := buildPrograms(dir); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func buildPrograms(dir string) (err error) {
	rekindle, err = buildImage(dir, map[string]string{"VERSION": imageVersion})
	if err != nil {
		return fmt.Errorf("deploy/Dockerfile: %w", err)
	}
	// Built as the image is, it shares all that the program has of it.
	natsServer = filepath.Join(dir, "nats-server")
	cmd := exec.Command("go", "build", "-trimpath", "-o", natsServer, "github.com/nats-io/nats-server/v2")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return output(cmd)
}

// output runs a command; the error has what it printed.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// inRepository returns the path of a file of the repository.
func inRepository(t testing.TB, elem ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"../.."}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// runProgram runs the program of the image to its end and returns what it
// printed.
func runProgram(ctx context.Context, args ...string) (out string, code int, err error) {
	cmd := exec.CommandContext(ctx, rekindle.program(), args...)
	cmd.Env = []string{} // not nil, which would be that of the test
	printed, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(printed), exit.ExitCode(), nil
	}
	return string(printed), 0, err
}
