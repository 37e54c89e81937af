package seal_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

func TestMask(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, value, want string }{
		{"contract C3", "sk-proj-abc123xyz789", "sk-p****z789"},
		{"empty", "", "****"},
		{"one", "x", "****"},
		{"eight", "12345678", "****"},
		{"eleven", "12345678901", "****"},
		{"twelve", "abcdefghijkl", "ab****kl"},
		{"fourteen", "abcdefghijklmn", "ab****mn"},
		{"fifteen", "abcdefghijklmno", "abc****mno"},
		{"nineteen", "abcdefghijklmnopqrs", "abc****qrs"},
		{"twenty", "abcdefghijklmnopqrst", "abcd****qrst"},
		{"long", strings.Repeat("a", 5000) + "wxyz", "aaaa****wxyz"},
		{"runes, not bytes", "äöüßäöüßäöüßäöüßéèêë", "äöüß****éèêë"},
		{"eleven runes of 44 bytes", strings.Repeat("😀", 11), "****"},
		{"own asterisks", "********************", "************"},
		{"spaces", "correct horse battery staple", "corr****aple"},
		{"lines", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n", "****"},
		{"carriage return", "abcdefghijklmnopqrst\r", "****"},
		{"line separator", "abcdefghij\u2028klmnopqrst", "****"},
		{"terminal control", "abcdefghij\x1b[31mklmnopqrst", "****"},
		{"bidirectional override", "\u202eabcdefghijklmnopqrst", "****"},
		{"invalid UTF-8", "abcdefghijklmnopqrst\xff", "****"},
		{"binary", strings.Repeat("\x00\xff", 40), "****"},
	}
	for _, tt := range tests {
		if got := seal.Mask(seal.NewPlaintext(tt.value)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := seal.Mask(seal.Plaintext{}); got != "****" {
		t.Errorf("never set: %q", got)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("sk-proj-abc123xyz789")
	f.Add("äöüßäöüßäöüßäöüßéèêë")
	f.Add("short")
	f.Add("abc\xffdefghijklmnopq\n")
	f.Fuzz(func(t *testing.T, value string) {
		mask := seal.Mask(seal.NewPlaintext(value))
		n := utf8.RuneCountInString(value)
		shown := utf8.RuneCountInString(mask) - 4
		if shown < 0 || shown > 8 || 5*shown > 2*n || (n < 12 && shown != 0) {
			t.Fatalf("%d of %d runes shown: %q", shown, n, mask)
		}
		head, tail := string([]rune(mask)[:shown/2]), string([]rune(mask)[4+shown/2:])
		if mask != head+"****"+tail || !strings.HasPrefix(value, head) || !strings.HasSuffix(value, tail) {
			t.Fatalf("%q is no mask of %q", mask, value)
		}
	})
}
