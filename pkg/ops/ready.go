package ops

import (
	"encoding/json"
	"net/http"
	"sync"
)

// Readiness says whether the process can do its work: when every part that was
// added has said it can. The zero value is not ready. Safe for concurrent use.
type Readiness struct {
	mu    sync.Mutex
	parts []*part
}

type part struct {
	Name string `json:"name"`
	Why  string `json:"why"`
	ok   bool
}

// Add announces a part that is not ready yet, and returns what reports how it
// is. why is for people, shown while the part is not ready; it is a fixed text,
// not that of a foreign error. Add all parts before the process starts to serve,
// or it will be ready before it knows what to wait for.
func (r *Readiness) Add(name string) (set func(ok bool, why string)) {
	p := &part{Name: name, Why: "starting"}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = append(r.parts, p)
	return func(ok bool, why string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		p.ok, p.Why = ok, why
	}
}

// waiting returns whether the process is ready and, if not, what is awaited.
func (r *Readiness) waiting() (ready bool, waiting []part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		if !p.ok {
			waiting = append(waiting, *p)
		}
	}
	return len(r.parts) > 0 && len(waiting) == 0, waiting
}

func (r *Readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	ready, waiting := r.waiting()
	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct { //nolint:errcheck // fails only when the reader is gone
		Ready   bool   `json:"ready"`
		Waiting []part `json:"waiting,omitempty"`
	}{ready, waiting})
}
