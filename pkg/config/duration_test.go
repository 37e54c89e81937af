package config

import (
	"errors"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const h = time.Hour
	for in, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "8h": 8 * h, "1h30m": 90 * time.Minute, "2d": 48 * h,
		"1d12h": 36 * h, "0d1ms": time.Millisecond, "106751d": 106751 * 24 * h,
	} {
		if got, err := ParseDuration(in); err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "d", "5", "-1h", "-1d", "+1d", "1.5d", "1d-1h", "1d1d", "5m2d", "1d 2h", "106752d",
		"106751d24h", "9999999999999999999999d", "2540400h10m10.000000000s1d",
	} {
		if got, err := ParseDuration(in); !errors.Is(err, errDuration) {
			t.Errorf("%q: %v %v", in, got, err)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90s", "2d", "1d12h", "106751d23h47m16.854775807s", "-1ns", "d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ParseDuration(in)
		if err != nil {
			return
		}
		text, err := d.MarshalText()
		if err != nil || d < 0 {
			t.Fatalf("%q: %v, negative or %v", in, d, err)
		}
		var again Duration
		if err := again.UnmarshalText(text); err != nil || again != d {
			t.Errorf("%q: %v, once more %v %v", in, d, again, err)
		}
	})
}
