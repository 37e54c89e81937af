package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// forms are the ways in which a planted text may stand in a file: as it is, in
// hex, and in base64, as which records hold bytes, wherever in them it begins;
// and that once more, since the value of simple-http is base64 itself.
func forms(planted string) map[string]string {
	list := map[string]string{"as it is": planted, "in hex": hex.EncodeToString([]byte(planted))}
	for shift := range 3 {
		once := inBase64(planted, shift)
		list[fmt.Sprintf("in base64 after %d", shift)] = once
		for again := range 3 {
			list[fmt.Sprintf("in base64 after %d and %d", shift, again)] = inBase64(once, again)
		}
	}
	return list
}

// inBase64 is the part of the encoding that does not depend on what stands
// before and after, shift bytes into a group of three.
func inBase64(planted string, shift int) string {
	encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat(" ", shift) + planted))
	from, to := (8*shift+5)/6, len(encoded)
	if (len(planted)+shift)%3 != 0 {
		to--
	}
	return encoded[from:to]
}

// shows says in which form body holds what was planted, "" for none.
func shows(body []byte, planted string) string {
	for how, text := range forms(planted) {
		if bytes.Contains(body, []byte(text)) {
			return how
		}
	}
	return ""
}

// A scan that could not find a leak would prove nothing.
func TestCanariesAreFound(t *testing.T) {
	const planted = "canary"
	for before := range 7 {
		for after := range 4 {
			text := []byte(strings.Repeat("x", before) + planted + strings.Repeat("y", after))
			once := base64.StdEncoding.EncodeToString(text)
			for name, body := range map[string]string{
				"plain": string(text), "hex": hex.EncodeToString(text), "base64": once,
				"base64 in base64": base64.StdEncoding.EncodeToString([]byte("u:" + once + "z")),
			} {
				if shows([]byte("..."+body+"..."), planted) == "" {
					t.Errorf("%s, %d before and %d after: not found", name, before, after)
				}
			}
		}
	}
	if how := shows([]byte("nothing of the kind, Y2FuYX and so on"), planted); how != "" {
		t.Errorf("found %s where there is nothing", how)
	}
}
