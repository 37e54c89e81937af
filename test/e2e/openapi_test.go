package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOpenAPI has somebody else's linter read the description of the API: it is OpenAPI 3.1,
// and a good one.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	dir := npmInstall(t, "openapi")
	lint := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules", ".bin", "redocly"), "lint",
		"--config", filepath.Join(dir, "redocly.yaml"), must(filepath.Abs("../../services/api/openapi.yaml"))(t))
	lint.Env = append(lint.Environ(), "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "REDOCLY_TELEMETRY=off")
	if err := output(lint); err != nil {
		t.Error(err)
	}
}
