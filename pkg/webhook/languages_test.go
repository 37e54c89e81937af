package webhook_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// The code that docs/callbacks.md gives receivers takes what we sign, and nothing else. Which
// interpreters there are is for the machine to say; what is there is run, and told.
func TestReceiversInOtherLanguages(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/callbacks.md")
	if err != nil {
		t.Fatal(err)
	}
	languages := []struct{ fence, program, end string }{
		{"python", "python3", `
import sys
h = dict(zip(["webhook-id", "webhook-timestamp", "webhook-signature"], sys.argv[2:5]))
print("taken" if verify(sys.argv[1], h, sys.argv[5].encode()) else "refused")
`},
		{"js", "node", `
const [secret, id, at, signature, body] = process.argv.slice(2);
console.log(verify(secret, {"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature}, Buffer.from(body)) ? "taken" : "refused");
`},
	}
	for _, l := range languages {
		t.Run(l.fence, func(t *testing.T) {
			t.Parallel()
			_, rest, found := strings.Cut(string(page), "```"+l.fence+"\n")
			code, _, closed := strings.Cut(rest, "```")
			if !found || !closed {
				t.Fatalf("docs/callbacks.md has no code in %s", l.fence)
			}
			program, err := exec.LookPath(l.program)
			if err != nil {
				t.Logf("NOT RUN: there is no %s on this machine", l.program)
				return
			}
			file := filepath.Join(t.TempDir(), "receiver."+l.fence)
			if err := os.WriteFile(file, []byte(code+l.end), 0o600); err != nil {
				t.Fatal(err)
			}
			receive := func(secret string, h http.Header, body string) string {
				out, err := exec.CommandContext(t.Context(), program, file, secret,
					h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), h.Get("Webhook-Signature"), body).CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				return strings.TrimSpace(string(out))
			}
			k := webhook.NewKey()
			at := time.Now()
			c := &webhook.Callback{ID: "CB1", Generation: 2, RotatedAt: at}
			const body = `{"a":"ä"}`
			header := func(at time.Time) http.Header {
				signatures, err := k.Signatures(c, "msg_1", at, []byte(body))
				if err != nil {
					t.Fatal(err)
				}
				h := http.Header{}
				h.Set("Webhook-Id", "msg_1")
				h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
				h.Set("Webhook-Signature", signatures)
				return h
			}
			secret := func(generation uint64) string {
				s, err := k.Secret("CB1", generation)
				if err != nil {
					t.Fatal(err)
				}
				return s.Reveal()
			}
			for name, tt := range map[string]struct {
				secret, body string
				at           time.Time
				want         string
			}{
				"current":      {secret(2), body, at, "taken"},
				"one before":   {secret(1), body, at, "taken"},
				"never its":    {secret(3), body, at, "refused"},
				"another body": {secret(2), body + " ", at, "refused"},
				"long ago":     {secret(2), body, at.Add(-time.Hour), "refused"},
			} {
				if got := receive(tt.secret, header(tt.at), tt.body); got != tt.want {
					t.Errorf("%s: %s, want %s", name, got, tt.want)
				}
			}
		})
	}
}
