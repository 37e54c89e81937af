// Package egress is the way out of the fleet to servers that strangers have named:
// token endpoints, and the receivers of callbacks.
//
// It promises, whatever a URL or a name server says:
//   - https goes to public addresses and to those that are allowed, plain http to
//     those that are allowed only. What counts is the address that is dialled.
//   - No proxy is taken from the environment, and nothing is decompressed.
//   - Redirects are not followed: it makes requests, not conversations.
//
// It does not bound a request in time, nor the body of its answer: whoever asks does.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Config says where requests may go and what they may take. Its zero value means: by
// https, to public addresses, with the bounds below.
type Config struct {
	// Allow lists the networks beside the public ones that may be reached. They may be
	// reached by plain http too.
	Allow []netip.Prefix
	// DialTimeout bounds a connection's making, and that of its TLS. Default 10 s.
	DialTimeout time.Duration
	// MaxConnsPerHost bounds the connections to one host; a request that finds none free
	// waits. Default 512.
	MaxConnsPerHost int
	// RootCAs are who may vouch for a server; nil means the system's.
	RootCAs *x509.CertPool
	// Dial connects in place of the system, for a network that is not the machine's
	// own. It is asked for addresses alone, and only for those that may be reached:
	// names are not looked up.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolver looks names up; nil means the system's.
	Resolver *net.Resolver
}

const (
	defaultDialTimeout     = 10 * time.Second
	defaultMaxConnsPerHost = 512
	maxIdleConns           = 2048 // over all hosts

	// MaxHeaderBytes bounds the header of an answer.
	MaxHeaderBytes = 32 << 10

	// Common servers (Node, Apache) drop a connection that has been idle for
	// 5 s. Letting go before they do means that hardly ever a request is
	// written to a connection that is being closed, which ends in an outcome
	// nobody knows.
	idleConnTimeout = 4 * time.Second
)

func (c Config) withDefaults() Config {
	if c.DialTimeout <= 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.MaxConnsPerHost <= 0 {
		c.MaxConnsPerHost = defaultMaxConnsPerHost
	}
	return c
}

// Secure returns how https is spoken.
func (c Config) Secure() *http.Transport {
	return c.withDefaults().transport(gate{allow: c.Allow, public: publicAddresses()})
}

// Plain returns how plain http is spoken.
func (c Config) Plain() *http.Transport { return c.withDefaults().transport(gate{allow: c.Allow}) }

func publicAddresses() *ssrf.Guardian {
	return ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(azurePlatform))
}

func (c Config) transport(g gate) *http.Transport {
	// A dial is not cancelled with the request it was started for, hence the
	// bounds of its own.
	dialer := &net.Dialer{Timeout: c.DialTimeout, Control: g.check, Resolver: c.Resolver}
	dial := dialer.DialContext
	if c.Dial != nil {
		dial = g.before(c.Dial)
	}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    c.DialTimeout,
		Protocols:              &http1,
		DisableCompression:     true,
		MaxConnsPerHost:        c.MaxConnsPerHost,
		MaxIdleConnsPerHost:    c.MaxConnsPerHost,
		MaxIdleConns:           maxIdleConns,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: MaxHeaderBytes,
	}
}

// azurePlatform looks public, and is the host's own agent on every Azure machine.
var azurePlatform = netip.MustParsePrefix("168.63.129.16/32")

// Why a dial was refused. The address is left out: telling it would answer
// questions about the network the fleet stands in.
var (
	ErrAddress   = errors.New("private or special address")
	ErrPlainHTTP = errors.New("plain http to an address that is not allowed")
)

// gate decides which addresses are dialled.
type gate struct {
	allow []netip.Prefix
	// public knows which addresses are private or special; nil means that
	// public addresses are not dialled either.
	public *ssrf.Guardian
}

// check is the Control function of a net.Dialer: it sees each address after all
// look-ups, right before connect(2), so there is no later answer of a name
// server that could get around it.
func (g gate) check(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrAddress
	}
	ip := target.Addr().Unmap().WithZone("")
	switch {
	case slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(ip) }):
		return nil
	case g.public == nil:
		return ErrPlainHTTP
	case g.public.SafeAddr(ip) != nil:
		return ErrAddress
	default:
		return nil
	}
}

// before returns a dial that asks the gate first. A host name does not pass.
func (g gate) before(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := g.check(network, address, nil); err != nil {
			return nil, err
		}
		return dial(ctx, network, address)
	}
}
