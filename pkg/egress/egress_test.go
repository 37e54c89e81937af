package egress

import (
	"errors"
	"net/netip"
	"testing"
)

func TestGate(t *testing.T) {
	t.Parallel()
	allow := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32"), netip.MustParsePrefix("fe80::/10")}
	secure := gate{allow: allow, public: publicAddresses()}
	plain := gate{allow: allow}
	tests := []struct {
		name, address string
		secure, plain error
	}{
		{"public", "9.9.9.9:443", nil, ErrPlainHTTP},
		{"public, any port", "9.9.9.9:8443", nil, ErrPlainHTTP},
		{"public IPv6", "[2620:fe::fe]:443", nil, ErrPlainHTTP},
		{"public, mapped to IPv6", "[::ffff:9.9.9.9]:443", nil, ErrPlainHTTP},

		{"allowed", "10.1.2.3:443", nil, nil},
		{"allowed, mapped to IPv6", "[::ffff:10.1.2.3]:443", nil, nil},
		{"allowed IPv6", "[fd00:1::7]:443", nil, nil},
		{"allowed IPv6 with a zone", "[fe80::1%eth0]:443", nil, nil},

		{"private", "10.2.0.1:443", ErrAddress, ErrPlainHTTP},
		{"private 172", "172.16.0.1:443", ErrAddress, ErrPlainHTTP},
		{"private 192", "192.168.0.1:443", ErrAddress, ErrPlainHTTP},
		{"private, mapped to IPv6", "[::ffff:10.2.0.1]:443", ErrAddress, ErrPlainHTTP},
		{"shared", "100.64.0.1:443", ErrAddress, ErrPlainHTTP},
		{"loopback", "127.0.0.1:443", ErrAddress, ErrPlainHTTP},
		{"loopback, another", "127.9.9.9:443", ErrAddress, ErrPlainHTTP},
		{"loopback, mapped to IPv6", "[::ffff:127.0.0.1]:443", ErrAddress, ErrPlainHTTP},
		{"loopback, IPv4-compatible", "[::7f00:1]:443", ErrAddress, ErrPlainHTTP},
		{"loopback IPv6", "[::1]:443", ErrAddress, ErrPlainHTTP},
		{"unspecified", "0.0.0.0:443", ErrAddress, ErrPlainHTTP},
		{"unspecified IPv6", "[::]:443", ErrAddress, ErrPlainHTTP},
		{"cloud metadata", "169.254.169.254:80", ErrAddress, ErrPlainHTTP},
		{"cloud metadata IPv6", "[fd00:ec2::254]:80", ErrAddress, ErrPlainHTTP},
		{"Azure platform", "168.63.129.16:443", ErrAddress, ErrPlainHTTP},
		{"NAT64 of a private address", "[64:ff9b::a02:1]:443", ErrAddress, ErrPlainHTTP},
		{"NAT64 of a public address", "[64:ff9b::909:909]:443", ErrAddress, ErrPlainHTTP},
		{"local NAT64", "[64:ff9b:1::a02:1]:443", ErrAddress, ErrPlainHTTP},
		{"6to4", "[2002:a02:1::1]:443", ErrAddress, ErrPlainHTTP},
		{"Teredo", "[2001::1]:443", ErrAddress, ErrPlainHTTP},
		{"unique local", "[fd00:2::1]:443", ErrAddress, ErrPlainHTTP},
		{"multicast", "224.0.0.1:443", ErrAddress, ErrPlainHTTP},
		{"multicast IPv6", "[ff02::1]:443", ErrAddress, ErrPlainHTTP},
		{"broadcast", "255.255.255.255:443", ErrAddress, ErrPlainHTTP},
		{"documentation", "192.0.2.1:443", ErrAddress, ErrPlainHTTP},
		{"not an address", "provider.test:443", ErrAddress, ErrAddress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := secure.check("tcp", tt.address, nil); !errors.Is(got, tt.secure) {
				t.Errorf("https: %v, want %v", got, tt.secure)
			}
			if got := plain.check("tcp", tt.address, nil); !errors.Is(got, tt.plain) {
				t.Errorf("http: %v, want %v", got, tt.plain)
			}
		})
	}
}
