package bus

import "testing"

func TestAddress(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"nats://user:hunter2@a:4222, nats://token@b:4222": "nats://a:4222,nats://b:4222",
		"127.0.0.1:4222":                "nats://127.0.0.1:4222",
		"user:pw@localhost":             "nats://localhost",
		"tls://user:p%2Fw@[::1]:4222/":  "tls://[::1]:4222",
		"nats://fleet:p/w@localhost":    "",
		"nats://fleet:1/w@localhost":    "",
		"nats://fleet:1?w@localhost":    "",
		"nats://fleet:1#w@localhost":    "",
		"nats://a:4222,":                "",
		"nats://":                       "",
		"nats://user:p%zzw@localhost:1": "",
	} {
		if got, err := address(url); got != want || (err == nil) != (want != "") {
			t.Errorf("address(%q) = %q, %v; want %q", url, got, err, want)
		}
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version string
		old     bool
	}{
		{"2.12.0", false},
		{"2.12.1", false},
		{"2.15.2", false},
		{"3.0.0", false},
		{"2.12.0-RC.1", false},
		{"v2.12.0", false},
		{"2.11.9", true},
		{"2.9.99", true},
		{"1.99.99", true},
		{"", true},
		{"two", true},
		{"2.12", true},
		{"2.x.0", true},
	} {
		if got := older(tc.version, MinServer); got != tc.old {
			t.Errorf("older(%q, %q) = %v, want %v", tc.version, MinServer, got, tc.old)
		}
	}
}
