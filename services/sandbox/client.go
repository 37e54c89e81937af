package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
)

// Errors of the control methods; compare with errors.Is.
var (
	// ErrUnknownClient says that no client of that id is registered.
	ErrUnknownClient = errors.New("sandbox: unknown client")
	// ErrUnknownGrant says that the client has no grant of that number, or that
	// it is forgotten.
	ErrUnknownGrant = errors.New("sandbox: unknown grant")
	// ErrInvalid says that a client document breaks a rule; the text names each.
	ErrInvalid = errors.New("sandbox: invalid client")
	// ErrFull says that Config.MaxClients are registered already.
	ErrFull = errors.New("sandbox: too many clients")
)

// Limits of a client document.
const (
	maxID     = 128   // bytes
	maxSecret = 1024  // bytes
	maxSteps  = 1_000 // per script
	maxKey    = 4096  // bytes
)

// Client is a registered client and how it is to be treated. Its JSON form is
// the body of PUT /sandbox/clients/{id}.
type Client struct {
	ID string `json:"id"`
	// Secret is what the client must present; empty accepts anything.
	Secret Secret `json:"secret,omitzero"`
	// AuthStyle is the only style accepted; empty accepts either.
	AuthStyle AuthStyle `json:"auth_style,omitzero"`
	// Key is what assertions are checked with: a public key, RSA or P-256, in PEM.
	Key string `json:"key,omitzero"`
	// Certificate is that which connections have to show: the SHA-256 of it, in hex.
	Certificate string `json:"certificate,omitzero"`
	// Requests is how the client's token requests are written; nil is RFC 6749's
	// way.
	Requests *Requests `json:"requests,omitzero"`
	// Script is played one step per request, from the first step on. A step with
	// Times is played as often as it says; without, once, except that the last
	// one of the script repeats for ever. When the script is over, Default rules.
	// A request refused for a fault of its own (wrong secret, wrong style,
	// unsupported grant) takes no step.
	Script []Step `json:"script,omitzero"`
	// Default is played when there is no script or it is over; its zero value
	// issues tokens as a well-behaved server would.
	Default Step `json:"default,omitzero"`
	// CodeFlow lets the client send people to /authorize; nil does not.
	CodeFlow *CodeFlow `json:"code_flow,omitzero"`
}

// Secret is a client secret: it cannot be printed, logged or marshalled.
type Secret string

const redacted = "[redacted]"

// Format keeps the secret out of every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue keeps the secret out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON keeps the secret out of documents.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// AuthStyle is how a client authenticates at the token endpoint, by the names of
// RFC 7591 §2.
type AuthStyle string

// The styles of RFC 6749 §2.3.1, RFC 7523 §2.2 and RFC 8705 §2. A request that
// carries no proof has none.
const (
	AuthPost      AuthStyle = "client_secret_post"  // client_id and client_secret in the body
	AuthBasic     AuthStyle = "client_secret_basic" // HTTP Basic, both form-encoded first
	AuthAssertion AuthStyle = "private_key_jwt"     // client_assertion in the body
	AuthTLS       AuthStyle = "tls_client_auth"     // client_id in the body, and a certificate
)

var authStyles = []AuthStyle{"", AuthPost, AuthBasic, AuthAssertion, AuthTLS}

// DecodeClient reads a client document strictly: unknown members, trailing data
// and broken rules are ErrInvalid. The error never quotes the secret.
func DecodeClient(doc []byte) (Client, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	var c Client
	if err := dec.Decode(&c); err != nil {
		return Client{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Client{}, fmt.Errorf("%w: data after the document", ErrInvalid)
	}
	return c, nil
}

// validate returns every broken rule at once, or nil.
func (c Client) validate() error {
	var errs []error
	if c.ID == "" || len(c.ID) > maxID {
		errs = append(errs, fmt.Errorf("id: want 1 to %d bytes", maxID))
	}
	if len(c.Secret) > maxSecret {
		errs = append(errs, fmt.Errorf("secret: want at most %d bytes", maxSecret))
	}
	if !slices.Contains(authStyles, c.AuthStyle) {
		errs = append(errs, fmt.Errorf("auth_style: want one of %q or none", authStyles[1:]))
	}
	if _, err := publicKey(c.Key); len(c.Key) > maxKey || (c.Key != "" || c.AuthStyle == AuthAssertion) && err != nil {
		errs = append(errs, fmt.Errorf("key: want a public key in PEM of at most %d bytes; %q needs one", maxKey, AuthAssertion))
	}
	if sum, err := hex.DecodeString(c.Certificate); err != nil || (c.Certificate != "" || c.AuthStyle == AuthTLS) && len(sum) != sha256.Size {
		errs = append(errs, fmt.Errorf("certificate: want its SHA-256 in hex; %q needs one", AuthTLS))
	}
	if len(c.Script) > maxSteps {
		errs = append(errs, fmt.Errorf("script: want at most %d steps", maxSteps))
	}
	for i, step := range c.Script {
		errs = append(errs, within(fmt.Sprintf("script[%d]", i), step.validate())...)
	}
	errs = append(errs, within("default", c.Default.validate())...)
	if c.Default.Times != 0 {
		errs = append(errs, errors.New("default.times: the default has no end"))
	}
	errs = append(errs, within("requests", c.Requests.validate())...)
	errs = append(errs, within("code_flow", c.CodeFlow.validate())...)
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalid, errors.Join(errs...))
}

// within puts the place of the faulty value before each error.
func within(place string, errs []error) []error {
	for i, err := range errs {
		errs[i] = fmt.Errorf("%s.%w", place, err)
	}
	return errs
}

// clone copies c so deeply that the caller's later changes do not reach it.
func (c Client) clone() Client {
	c.Script = slices.Clone(c.Script)
	for i := range c.Script {
		c.Script[i] = c.Script[i].clone()
	}
	c.Default = c.Default.clone()
	c.CodeFlow = c.CodeFlow.clone()
	if c.Requests != nil {
		c.Requests = &Requests{c.Requests.Format, maps.Clone(c.Requests.Names), slices.Clone(c.Requests.Grants)}
	}
	return c
}
