package config

import (
	"errors"
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	var e Errors
	e.Check(true, "listen", "never seen", "")
	if err := e.Err(); err != nil {
		t.Error(err)
	}
	e.Check(false, "windows.oauth2.min_validity", "is zero", "write how long a token must be valid, like 8h")
	e.Check(false, "--listen", "has no port", "write host:port")
	err := e.Err()
	want := "windows.oauth2.min_validity: is zero; write how long a token must be valid, like 8h\n" +
		"--listen: has no port; write host:port"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if field, ok := errors.AsType[*FieldError](err); !ok || field.Field != "windows.oauth2.min_validity" {
		t.Errorf("first field error: %v", field)
	}
}

const placesFile = `listen: a

labels:
  a.b: c
  d: >-
    e
list:
  - x
  - y
steps: [1h,
  2h]
windows:
  # the second of its mapping
  token: {min_validity: 1h}
  oauth2:
    min_validity:
`

func TestPlace(t *testing.T) {
	t.Parallel()
	var c testConfig
	at, err := Decode("f.yaml", strings.NewReader(placesFile), &c)
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"listen":                        "f.yaml:1:1",
		"labels":                        "f.yaml:3:1",
		"labels.a.b":                    "f.yaml:4:3",
		"labels.a":                      "f.yaml:3:1",
		"labels.d":                      "f.yaml:5:3",
		"list[1]":                       "f.yaml:9:5",
		"list[7].x":                     "f.yaml:7:1",
		"steps[1]":                      "f.yaml:11:3",
		"windows.oauth2.min_validity":   "f.yaml:16:5",
		"windows.oauth2.default_offset": "f.yaml:15:3",
		"windows.token.min_validity":    "f.yaml:14:11",
		"wait":                          "",
		"--listen":                      "",
		"":                              "",
	} {
		if got := at.Place(field); got != want {
			t.Errorf("%s stands at %q, want %q", field, got, want)
		}
	}
	errs := Errors{At: at}
	errs.Check(false, "windows.oauth2.min_interval", "is missing", "write it")
	if err := errs.Err(); err == nil || err.Error() != "f.yaml:15:3: windows.oauth2.min_interval: is missing; write it" {
		t.Error(err)
	}
}

// TestPlaceOfWrongFiles: what could be read before a mistake has its place.
func TestPlaceOfWrongFiles(t *testing.T) {
	t.Parallel()
	var c testConfig
	at, err := Decode("f.yaml", strings.NewReader("on: s3cret\nnobody: x\nlisten: a\n"), &c)
	if err == nil || at.Place("listen") != "f.yaml:3:1" || at.Place("on") != "f.yaml:1:1" {
		t.Errorf("%v, listen at %q", err, at.Place("listen"))
	}
	if place := (Positions{}).Place("listen"); place != "" {
		t.Errorf("of no file: %q", place)
	}
}
