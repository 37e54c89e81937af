package config

import (
	"errors"
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
