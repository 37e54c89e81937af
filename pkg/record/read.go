package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// object reads an object into a struct and returns what is behind it. Not ok means
// that encoding/json has to look.
func (all members) object(rest []byte, v reflect.Value) (behind []byte, ok bool) {
	if len(all) == 0 || len(rest) < 2 || rest[0] != '{' {
		return nil, false
	}
	if rest[1] == '}' {
		return rest[2:], true
	}
	for sep := rest[0]; sep != '}'; {
		name, value, ok := cut(rest[1:])
		if !ok || name[0] != '"' || len(value) == 0 || value[0] != ':' {
			return nil, false
		}
		m, known := all[string(name[1:len(name)-1])]
		if !known {
			return nil, false
		}
		rest, ok = m.read(value[1:], v.Field(m.index))
		if !ok || len(rest) == 0 || rest[0] != ',' && rest[0] != '}' {
			return nil, false
		}
		sep = rest[0]
	}
	return rest[1:], true
}

// read reads the value that JSON begins with and returns what is behind it.
func (m member) read(rest []byte, v reflect.Value) (behind []byte, ok bool) {
	if m.as == object && len(rest) > 0 && rest[0] == '{' {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		return m.inside.object(rest, v)
	}
	value, behind, ok := cut(rest)
	if !ok {
		return nil, false
	}
	return behind, m.fill(value, v) || json.Unmarshal(value, v.Addr().Interface()) == nil
}

// fill reads a value of the usual form.
func (m member) fill(value []byte, v reflect.Value) bool {
	switch m.as {
	case text:
		s, ok := textIn(value)
		if ok {
			v.SetString(s)
		}
		return ok
	case number:
		return setNumber(value, v)
	case truth:
		is := string(value) == "true"
		if ok := is || string(value) == "false"; !ok {
			return false
		}
		v.SetBool(is)
		return true
	case moment:
		t, is := reflect.TypeAssert[*time.Time](v.Addr())
		return is && t.UnmarshalJSON(value) == nil
	case encoded:
		return setBytes(value, v)
	default:
		return false
	}
}

// textIn is the text that a string stands for if its letters stand for themselves.
func textIn(value []byte) (s string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	inside := value[1 : len(value)-1]
	ascii := true
	for _, c := range inside {
		if c < ' ' || c == '\\' {
			return "", false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return string(inside), ascii || utf8.Valid(inside)
}

// setNumber reads a number without sign, fraction and exponent.
func setNumber(value []byte, v reflect.Value) bool {
	if value[0] < '0' || value[0] > '9' || value[0] == '0' && len(value) > 1 {
		return false
	}
	n, err := strconv.ParseUint(string(value), 10, 63)
	switch {
	case err != nil:
		return false
	case v.CanInt() && !v.OverflowInt(int64(n)):
		v.SetInt(int64(n))
		return true
	case v.CanUint() && !v.OverflowUint(n):
		v.SetUint(n)
		return true
	}
	return false
}

func setBytes(value []byte, v reflect.Value) bool {
	if value[0] != '"' || bytes.ContainsAny(value, "\r\n") { // which base64 skips, and no string may hold
		return false
	}
	inside := value[1 : len(value)-1]
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(inside)))
	n, err := base64.StdEncoding.Decode(decoded, inside)
	if err != nil {
		return false
	}
	v.SetBytes(decoded[:n])
	return true
}

// cut cuts off the value that JSON begins with. It finds its end if it is valid, and
// does not look whether it is.
func cut(rest []byte) (value, behind []byte, ok bool) {
	if len(rest) == 0 {
		return nil, nil, false
	}
	end := 0
	switch rest[0] {
	case '"':
		end = endOfString(rest)
	case '{', '[':
		end = endOfNested(rest)
	default:
		end = bytes.IndexAny(rest, ",]}")
	}
	if end <= 0 {
		return nil, nil, false
	}
	return rest[:end], rest[end:], true
}

// endOfString is behind the quote that ends the string that rest begins with, 0 if
// there is none.
func endOfString(rest []byte) int {
	for end := 1; ; {
		quote := bytes.IndexByte(rest[end:], '"')
		if quote < 0 {
			return 0
		}
		escapes := 0
		for rest[end+quote-1-escapes] == '\\' {
			escapes++
		}
		end += quote + 1
		if escapes%2 == 0 {
			return end
		}
	}
}

func endOfNested(rest []byte) int {
	depth := 0
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			n := endOfString(rest[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
