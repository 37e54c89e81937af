package transfer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

// keys makes the pair of a recipient.
func keys(t testing.TB) (*transfer.Recipient, *transfer.Opener) {
	t.Helper()
	ring, err := seal.NewKeyring(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	to, err := transfer.NewRecipient(ring.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	return to, transfer.NewOpener(ring)
}

// sealedRow is a row as it is exported, written and read.
func sealedRow(t testing.TB, to *transfer.Recipient, text string) transfer.Row {
	t.Helper()
	row, err := transfer.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	row.ID = "SE1"
	if row.Grant != nil {
		err = to.SealRefreshToken(&row, seal.NewPlaintext("canary"))
	} else {
		err = to.SealCredential(&row, seal.NewPlaintext("canary"))
	}
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(row)
	if err != nil || strings.Contains(string(written), "canary") {
		t.Fatalf("%v: %s", err, written)
	}
	if row, err = transfer.Decode(written); err != nil {
		t.Fatal(err)
	}
	return row
}

// TestSealedRows open for whom they are sealed to, as they were sealed.
func TestSealedRows(t *testing.T) {
	t.Parallel()
	to, opener := keys(t)
	_, other := keys(t)
	for _, text := range []string{crm, books} {
		row := sealedRow(t, to, text)
		if err := opener.Open(&row); err != nil {
			t.Fatal(err)
		}
		if got := string(row.Credentials["client_secret"]) + string(row.Grant["refresh_token"]); got != `"canary"` {
			t.Errorf("opened: %s", got)
		}
	}
	for want, try := range map[string]func(row *transfer.Row) error{
		"is sealed: name the file": func(row *transfer.Row) error { return (*transfer.Opener)(nil).Open(row) },
		"is sealed to another key": other.Open,
		"does not open":            func(row *transfer.Row) error { row.ID = "SE2"; return opener.Open(row) },
		"id: is missing":           func(row *transfer.Row) error { row.ID = ""; return opener.Open(row) },
		"client_secret: does not open: ": func(row *transfer.Row) error {
			row.Credentials["token_url"] = json.RawMessage(`"https://evil.test/t"`)
			return opener.Open(row)
		},
		"client_secret: must be a string": func(row *transfer.Row) error {
			row.Credentials["client_secret"] = json.RawMessage(`{"sealed":7}`)
			return opener.Open(row)
		},
		"client_secret.shield: is not known": func(row *transfer.Row) error {
			row.Credentials["client_secret"] = json.RawMessage(`{"shield":""}`)
			return opener.Open(row)
		},
	} {
		row := sealedRow(t, to, crm)
		if err := try(&row); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestKeyFiles: what a pair's files are read by, and that the halves are not taken
// for each other.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, public := filepath.Join(dir, "key"), filepath.Join(dir, "key.pub")
	ring, _, err := seal.CreateKeyring(private, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ring.Keyset())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(public, body, 0o600); err != nil {
		t.Fatal(err)
	}
	to, err := transfer.LoadRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := transfer.LoadOpener(private)
	if err != nil {
		t.Fatal(err)
	}
	row := sealedRow(t, to, crm)
	if err := opener.Open(&row); err != nil {
		t.Error(err)
	}
	if _, err := transfer.LoadRecipient(private); err == nil {
		t.Error("the private key is taken for the public one")
	}
	if _, err := transfer.LoadOpener(public); err == nil {
		t.Error("the public key is taken for the private one")
	}
}

// FuzzOpen: whatever a row holds, nothing opens but what was sealed for it.
func FuzzOpen(f *testing.F) {
	to, opener := keys(f)
	for _, text := range []string{crm, books} {
		row := sealedRow(f, to, text)
		written, err := json.Marshal(row)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(written)
		f.Add([]byte(strings.Replace(string(written), "idp.test", "evil.test", 1)))
		f.Add([]byte(strings.Replace(string(written), `"sealed":"A`, `"sealed":"B`, 1)))
	}
	f.Add([]byte(`{"id":"x","name":"x","type_of":"token","credentials":{"token":{"sealed":""}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := transfer.Decode(line)
		if err != nil {
			return
		}
		sealed := strings.HasPrefix(string(row.Credentials["client_secret"]), "{")
		if opener.Open(&row) == nil && sealed && string(row.Credentials["client_secret"]) != `"canary"` {
			t.Errorf("opened: %s", row.Credentials["client_secret"])
		}
	})
}
