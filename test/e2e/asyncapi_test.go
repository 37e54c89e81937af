package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAsyncAPI has somebody else's parser read the description of what is said on the
// bus: it is AsyncAPI 3.0, with all that it refers to.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	dir := npmInstall(t, "asyncapi")
	check := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "check.mjs"), inRepository(t, "events", "asyncapi.yaml"))
	if err := output(check); err != nil {
		t.Error(err)
	}
}
