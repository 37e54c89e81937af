package subject_test

import (
	"testing"

	"github.com/rekindle-dev/rekindle/events/internal/subject"
)

// What Token does not write is no token: each text has one.
func TestUntoken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "==", "=4", "=41", "a=", "=zz", "=3d", "=3", "a.b", "é", "*", "=-1", "=+1"} {
		if text, ok := subject.Untoken(token); ok {
			t.Errorf("%q stands for %q", token, text)
		}
	}
}
