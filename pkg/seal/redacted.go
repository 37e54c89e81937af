package seal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redaction is what stands in place of secret material, always and everywhere.
const redaction = "[redacted]"

var errNoBinaryForm = errors.New("seal: secret material has no binary form")

// redacted is embedded by each type that holds secret material; its methods
// answer for the whole type, to every interface by which the standard library
// asks a value to print or encode itself.
//
// Methods alone are not enough: fmt calls none on an unexported field, nor
// anywhere inside a value once one verb in it was wrong, but walks the memory
// by reflection; and a pointer is no wall, for %s on one makes fmt print what
// it points to. The embedding types therefore keep what they hold behind a
// closure, where reflection sees a code address and nothing else.
type redacted struct{}

// String returns "[redacted]".
func (redacted) String() string { return redaction }

// GoString returns "[redacted]".
func (redacted) GoString() string { return redaction }

// Format writes "[redacted]" for every verb and flag.
func (redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redaction) }

// LogValue returns "[redacted]".
func (redacted) LogValue() slog.Value { return slog.StringValue(redaction) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (redacted) MarshalJSON() ([]byte, error) { return []byte(`"` + redaction + `"`), nil }

// MarshalText returns "[redacted]". XML and the usual YAML encoders ask for it.
func (redacted) MarshalText() ([]byte, error) { return []byte(redaction), nil }

// MarshalBinary always fails: a binary form, gob's included, is made to be
// read back, and a redaction must not be.
func (redacted) MarshalBinary() ([]byte, error) { return nil, errNoBinaryForm }
