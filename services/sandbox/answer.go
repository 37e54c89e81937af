package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answer composes and sends what a verdict says.
type answer struct {
	token     string
	lifetime  time.Duration
	scope     string
	challenge bool // the caller used the Authorization header

	refreshToken string        // empty is none
	refreshFor   time.Duration // how long refresh tokens live; 0 is unsaid
	idToken      string        // empty is none
}

// pause waits for the step's delay and then for its release, or for ever if it
// never answers. The error says that the caller has gone or the server stops.
func pause(ctx context.Context, v verdict) error {
	if v.step.Delay > 0 {
		if err := sleep(ctx, time.Duration(v.step.Delay)); err != nil {
			return err
		}
	}
	if v.hold == nil && v.step.Fault != FaultNeverAnswer {
		return nil
	}
	select {
	case <-v.hold:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send answers, or does not, as the fault has it.
func (a answer) send(w http.ResponseWriter, r *http.Request, v verdict) {
	if v.refusal != nil {
		a.sendRefusal(w, v.refusal)
		return
	}
	switch v.step.Fault {
	case FaultReset:
		cut(w, rudely)
		return
	case FaultDropAfterCommit:
		cut(w, gently)
		return
	}
	status, contentType, body := a.compose(v.step)
	writeHead(w, contentType, v.step.Headers)
	switch v.step.Fault {
	case FaultSlowDrip:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		drip(w, r, body, v.step.BytesPerSecond)
	case FaultHugeBody:
		w.WriteHeader(status)
		flood(w, v.step.Size)
		w.Write(body)
	case FaultTruncated:
		w.WriteHeader(status)
		w.Write(body[:len(body)/2])
	default:
		w.WriteHeader(status)
		w.Write(body)
	}
}

// sendRefusal answers by RFC 6749 §5.2.
func (a answer) sendRefusal(w http.ResponseWriter, why *refusal) {
	var headers map[string]string
	if a.challenge && why.status == http.StatusUnauthorized {
		headers = map[string]string{"WWW-Authenticate": `Basic realm="sandbox"`}
	}
	writeHead(w, typeJSON, headers)
	w.WriteHeader(why.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why.code, "error_description": why.text}) //nolint:errcheck // the caller has gone
}

// compose makes the answer of an expanded step, faults of transport apart.
func (a answer) compose(step Step) (status int, contentType string, body []byte) {
	status, contentType = http.StatusOK, typeJSON
	switch {
	case step.Body != nil:
		body = []byte(strings.NewReplacer(accessToken, a.token, refreshToken, a.refreshToken).Replace(*step.Body))
	case step.Error != "":
		status = errorStatus(step.Error)
		body = object(map[string]json.RawMessage{"error": quote(step.Error)}, step)
	case step.Status >= http.StatusMultipleChoices:
		contentType = "text/plain; charset=utf-8"
		body = []byte(http.StatusText(step.Status) + "\n")
	default:
		body = object(a.members(), step)
	}
	if step.Status != 0 {
		status = step.Status
	}
	if step.ContentType != "" {
		contentType = step.ContentType
	}
	return status, contentType, body
}

// members are those of a correct token answer (RFC 6749 §5.1).
func (a answer) members() map[string]json.RawMessage {
	m := map[string]json.RawMessage{
		"access_token": quote(a.token),
		"token_type":   json.RawMessage(`"Bearer"`),
		"expires_in":   strconv.AppendInt(nil, int64(a.lifetime/time.Second), 10),
	}
	for name, text := range map[string]string{"scope": a.scope, "refresh_token": a.refreshToken, "id_token": a.idToken} {
		if text != "" {
			m[name] = quote(text)
		}
	}
	if a.refreshFor != 0 {
		m["refresh_token_expires_in"] = strconv.AppendInt(nil, int64(a.refreshFor/time.Second), 10)
	}
	return m
}

// object writes the members as the step amends them.
func object(members map[string]json.RawMessage, step Step) []byte {
	maps.Copy(members, step.Fields)
	for _, name := range step.Omit {
		delete(members, name)
	}
	body, err := json.Marshal(members)
	if err != nil {
		// Unreachable: Put has seen that every field is JSON.
		return []byte("{}")
	}
	return append(body, '\n')
}

// quote writes a JSON string.
func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s) //nolint:errcheck // a string always marshals
	return b
}

func errorStatus(code string) int {
	if code == "invalid_client" {
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

const typeJSON = "application/json"

// writeHead sets the headers of every token answer (RFC 6749 §5.1), then those
// of the script.
func writeHead(w http.ResponseWriter, contentType string, headers map[string]string) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	for name, value := range headers {
		h.Set(name, value)
	}
}

// drip writes body at rate bytes a second, in at most ten pieces a second, until
// it is out or the caller leaves.
func drip(w http.ResponseWriter, r *http.Request, body []byte, rate int) {
	rate = max(rate, defaultRate)
	piece := max(rate/10, 1)
	interval := time.Duration(piece) * time.Second / time.Duration(rate)
	flush := http.NewResponseController(w)
	for len(body) > 0 {
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil || flush.Flush() != nil {
			return
		}
		body = body[n:]
		if len(body) > 0 && sleep(r.Context(), interval) != nil {
			cut(w, gently)
			return
		}
	}
}

// flood writes size blanks (default 1 MiB), or as many as the caller takes.
func flood(w http.ResponseWriter, size int) {
	if size == 0 {
		size = defaultSize
	}
	blanks := bytes.Repeat([]byte{' '}, min(size, 32<<10))
	for size > 0 {
		n := min(size, len(blanks))
		if _, err := w.Write(blanks[:n]); err != nil {
			return
		}
		size -= n
	}
}

type manner int

const (
	gently manner = iota // FIN: the caller reads an end
	rudely               // RST: the caller reads an error
)

// cut closes the connection without (another byte of) an answer. Where there is
// no connection to take over, as in HTTP/2, the stream is aborted.
func cut(w http.ResponseWriter, how manner) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to say so
	}
	if tcp, ok := conn.(*net.TCPConn); ok && how == rudely {
		_ = tcp.SetLinger(0) //nolint:errcheck // without it the caller sees an orderly end, which its test will notice
	}
	conn.Close()
}
