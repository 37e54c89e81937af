package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

func TestCreateKeyring(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	ring, created, err := seal.CreateKeyring(path, testTime)
	if err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, created, err := seal.CreateKeyring(path, testTime)
	if err != nil || created {
		t.Fatalf("second time: created %t, %v", created, err)
	}
	loaded, err := seal.LoadKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*seal.Keyring{again, loaded} {
		if !bytes.Equal(export(t, ring), export(t, other)) {
			t.Error("another keyring")
		}
	}
	onlyFile(t, path)
}

// onlyFile fails the test if anything else was left in path's directory.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("directory holds %v, %v", entries, err)
	}
}

func TestCreateKeyringRace(t *testing.T) {
	t.Parallel()
	for range 5 {
		path := filepath.Join(t.TempDir(), "keyring.json")
		const racers = 16
		var (
			wg      sync.WaitGroup
			start   = make(chan struct{})
			rings   [racers]*seal.Keyring
			created [racers]bool
		)
		for i := range racers {
			wg.Go(func() {
				<-start
				var err error
				rings[i], created[i], err = seal.CreateKeyring(path, testTime)
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if t.Failed() {
			return
		}
		winners := 0
		for i := range racers {
			if created[i] {
				winners++
			}
			if rings[i].Keyset().Fingerprint() != rings[0].Keyset().Fingerprint() {
				t.Fatalf("racers 0 and %d hold different keyrings", i)
			}
		}
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
		onlyFile(t, path)
	}
}

func TestCreateKeyringNeverReplaces(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "rubbish": "not a keyring"} {
		path := filepath.Join(t.TempDir(), "keyring.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := seal.CreateKeyring(path, testTime)
		if !errors.Is(err, seal.ErrMalformed) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != content {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
	_, _, err := seal.CreateKeyring(filepath.Join(t.TempDir(), "missing", "keyring.json"), testTime)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestLoadKeyringRefusesOpenModes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	if _, _, err := seal.CreateKeyring(path, testTime); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o660, 0o666, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := seal.LoadKeyring(path)
		if !errors.Is(err, seal.ErrExposed) || !strings.Contains(err.Error(), "chmod 600 '"+path+"'") {
			t.Errorf("mode %o: %v", mode, err)
		}
		if _, _, err := seal.CreateKeyring(path, testTime); !errors.Is(err, seal.ErrExposed) {
			t.Errorf("mode %o, create: %v", mode, err)
		}
	}
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.LoadKeyring(path); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

func TestLoadKeyringFollowsLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keyring.json"), filepath.Join(dir, "link")
	if _, _, err := seal.CreateKeyring(path, testTime); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadKeyring(link); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadKeyring(link); !errors.Is(err, seal.ErrExposed) {
		t.Errorf("link to an open file: %v", err)
	}
}

func TestLoadKeyringRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := seal.LoadKeyring(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := seal.LoadKeyring(dir); err == nil {
		t.Error("a directory was loaded")
	}
	public, err := json.Marshal(newRing(t).Keyset())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"keyset": public, "huge": bytes.Repeat([]byte(" "), 1<<20), "planted": []byte(`{"type":"pl4nted"}`),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := seal.LoadKeyring(path)
		if !errors.Is(err, seal.ErrMalformed) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "pl4nted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSaveKeyring(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	ring, _, err := seal.CreateKeyring(path, testTime)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := ring.Prepare(testTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.SaveKeyring(path, next); err != nil {
		t.Fatal(err)
	}
	if err := seal.SaveKeyring(path, &seal.Keyring{}); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("the zero keyring: %v", err)
	}
	loaded, err := seal.LoadKeyring(path)
	if err != nil || loaded.Keyset().Fingerprint() != next.Keyset().Fingerprint() {
		t.Errorf("another keyring, %v", err)
	}
	onlyFile(t, path)
}
