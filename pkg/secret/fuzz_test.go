package secret_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// FuzzRecord: what is stored under a key is read as a record or refused. A record
// that was read is written as it was, and whatever it holds can be planned,
// explained and changed.
func FuzzRecord(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.golden.json")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for other := range paths {
			if other < len(records()) {
				f.Add(uint8(other), body, int64(0))
			}
		}
	}
	f.Add(uint8(0), []byte(`{"status":"succeeded","refresh_at":"9999-12-31T23:59:59-23:59","expires_at":"0001-01-01T00:00:00Z","attempts":-1}`), int64(1<<62))
	f.Add(uint8(1), []byte(`{"claim":null,"outcome":{"failure":{},"ended":true,"action":"authorize"}}`), int64(-1<<62))
	f.Fuzz(func(t *testing.T, which uint8, body []byte, now int64) {
		all := records()
		record := all[int(which)%len(all)]
		unread := json.Unmarshal(body, record)
		if s, is := record.(*secret.Secret); is {
			got, err := secret.Decode(body)
			if (err == nil) != (unread == nil) || err == nil && !reflect.DeepEqual(got, s) {
				t.Errorf("%+v, %v, but by encoding/json %+v, %v", got, err, s, unread)
			}
		}
		if unread != nil {
			return
		}
		first, err := json.Marshal(record)
		if err != nil {
			t.Fatalf("read, but cannot be written: %v", err)
		}
		again := records()[int(which)%len(all)]
		if err := json.Unmarshal(first, again); err != nil {
			t.Fatalf("written, but cannot be read: %v", err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("not the same when written again: %v\n%s\n%s", err, first, second)
		}
		use(record, body, time.UnixMilli(now))
	})
}

func records() []any {
	return []any{new(secret.Secret), new(secret.Grant), new(secret.Consent), new(secret.Credential), new(secret.Artifact)}
}

// use does to a record whatever is done to one that was read.
func use(record any, body []byte, now time.Time) {
	switch r := record.(type) {
	case *secret.Secret:
		readAll(r, now)
		for _, change := range []func(*secret.Secret, time.Time){
			(*secret.Secret).Ask, (*secret.Secret).Detach, (*secret.Secret).Consented, (*secret.Secret).AcceptHeld, (*secret.Secret).Reminded, (*secret.Secret).Delete,
		} {
			changed := new(secret.Secret)
			if json.Unmarshal(body, changed) == nil {
				change(changed, now)
				readAll(changed, now)
			}
		}
	case *secret.Grant:
		if r.Claim != nil {
			r.Claim.Live(now)
		}
		if o := r.Outcome; o != nil {
			s := fullSecret()
			s.DeletedAt = time.Time{}
			s.Decision = o.Decision
			s.Apply(o, now)
			readAll(s, now)
		}
	case *secret.Consent:
		r.Clone().Begin(secret.Dialog{}, now)
	}
}

func readAll(s *secret.Secret, now time.Time) {
	s.Plan().Due(now)
	_ = s.Explain(now)
	s.StatusAt(now)
	s.RefreshState(now)
	s.ReauthorizationRequired(now)
	s.Interrupt(s.Decision, &secret.Failure{}, now)
	s.Plan()
}

// FuzzSigningKey: a text is a key that signs, or an error that does not quote it.
func FuzzSigningKey(f *testing.F) {
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN X-----\r\na: b\r\n\r\n-----END X-----"))
	f.Add([]byte("not PEM"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		key, err := secret.SigningKey(text)
		if (key == nil) != (err == secret.ErrNotPEM || err == secret.ErrNotRSA) {
			t.Errorf("key: %t, error %v", key != nil, err)
		}
		if !bytes.Equal(before, text) {
			t.Error("the text was changed")
		}
	})
}
