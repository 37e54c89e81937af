package api

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// fullSecret has something in every field but those that the projection leaves
// out. What somebody adds to the record and forgets in the row is seen here.
func fullSecret(t *testing.T) *secret.Secret {
	t.Helper()
	var s secret.Secret
	n := 0
	fillFields(t, reflect.ValueOf(&s).Elem(), &n)
	s.FailingSince, s.AlarmedAt = time.Time{}, time.Time{}
	s.DeletedAt, s.AskedAt, s.ReplayAt, s.Trace = time.Time{}, time.Time{}, time.Time{}, ""
	s.DeployedRevision = 0
	return &s
}

func fillFields(t *testing.T, v reflect.Value, n *int) {
	*n++
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.UnixMilli(int64(*n)).UTC()
		return
	case *json.RawMessage:
		*at = json.RawMessage(`{"claim":1}`)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fillFields(t, field, n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillFields(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fillFields(t, v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c": "d"}))
	case reflect.String:
		v.SetString("text " + time.Duration(*n).String())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		t.Fatalf("a record has a field of the kind %v: teach this test to fill it", v.Kind())
	}
}

func TestRowKeepsTheRecord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*secret.Secret)
	}{
		{"nothing", func(s *secret.Secret) { *s = secret.Secret{} }},
		{"everything", func(*secret.Secret) {}},
		{"client credentials", func(s *secret.Secret) {
			s.Credentials = secret.Credentials{
				ClientID: "c", TokenURL: "https://idp.example", RefreshOffset: new(int64(0)), Options: map[string]string{"a": "b"},
			}
		}},
		{"user name", func(s *secret.Secret) { s.Credentials = secret.Credentials{Username: "u"} }},
		{"scopes", func(s *secret.Secret) {
			s.Credentials = secret.Credentials{RefreshOffset: new(int64(9)), Scopes: []string{"mail", "openid"}}
		}},
		{"just a warning", func(s *secret.Secret) {
			*s = secret.Secret{Warnings: []secret.Warning{{Code: "short_life", Detail: "it is short"}}}
		}},
		{"just a parked job", func(s *secret.Secret) { *s = secret.Secret{Parked: &secret.Parked{Decision: 7}} }},
		{"no failure", func(s *secret.Secret) { s.StatusDetails, s.RefreshStatusDetails, s.Authorization = nil, nil, nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := fullSecret(t)
			tt.edit(want)
			r := newRow(want)
			if diff := cmp.Diff(want, r.secret()); diff != "" {
				t.Errorf("unpacked (-want +got):\n%s", diff)
			}
			place := fullSecret(t) // of another record, of which nothing must be left
			r.fill(place)
			if diff := cmp.Diff(want, place); diff != "" {
				t.Errorf("unpacked over another (-want +got):\n%s", diff)
			}
		})
	}
}

// Every field of credentials makes it through by itself.
func TestRowKeepsEachCredential(t *testing.T) {
	t.Parallel()
	full := reflect.ValueOf(fullSecret(t).Credentials)
	for i := range full.NumField() {
		var c secret.Credentials
		field := reflect.ValueOf(&c).Elem().Field(i)
		field.Set(full.Field(i))
		if full.Type().Field(i).Name == "Scopes" {
			c.Scopes = []string{"mail", "openid"} // without blanks, as scopes are
		}
		if diff := cmp.Diff(c, newRow(&secret.Secret{Credentials: c}).secret().Credentials); diff != "" {
			t.Errorf("%s (-want +got):\n%s", full.Type().Field(i).Name, diff)
		}
	}
}
