package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// receiver takes what callbacks are sent, and keeps it.
type receiver struct {
	mu   sync.Mutex
	came []received
}

type received struct {
	header http.Header
	body   []byte
}

// ServeHTTP takes a message, or refuses it at the path /refuse.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	if err != nil || q.URL.Path == "/refuse" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.came = append(r.came, received{q.Header.Clone(), body})
	w.WriteHeader(http.StatusCreated)
}

// find returns the first message of a type.
func (r *receiver) find(typeOf string) (received, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.came {
		var doc struct {
			Data struct {
				Attributes struct {
					TypeOf string `json:"type_of"`
				}
			}
		}
		if json.Unmarshal(m.body, &doc) == nil && doc.Data.Attributes.TypeOf == typeOf {
			return m, true
		}
	}
	return received{}, false
}

// cmdReceiver starts a receiver: "receiver". Its URL is in $RECEIVER.
func cmdReceiver(ts *testscript.TestScript, neg bool, _ []string) {
	noNeg(ts, neg)
	f := fleetOf(ts)
	f.receiver = new(receiver)
	server := httptest.NewServer(f.receiver)
	ts.Defer(server.Close)
	ts.Setenv("RECEIVER", server.URL)
}

// cmdReceived waits for a message of a type and checks that it was signed with a secret, and
// prints it: "received secret.created whsec_…". With "!" there must be none by now.
func cmdReceived(ts *testscript.TestScript, neg bool, args []string) {
	f := fleetOf(ts)
	if neg {
		if m, ok := f.receiver.find(args[0]); ok {
			ts.Fatalf("there is a message of the type %s: %s", args[0], m.body)
		}
		return
	}
	var m received
	eventually(ts, "received "+args[0], func() (ok bool) {
		m, ok = f.receiver.find(args[0])
		return ok
	}, func() string { return "none came" })
	if err := webhook.Verify(args[1], m.header, m.body, time.Now()); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	if bytes.Contains(m.body, []byte("canary")) {
		ts.Fatalf("the message tells what is hidden: %s", m.body)
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", m.body)
}
