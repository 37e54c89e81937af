package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the ops listener. A profile may take longer than writeTimeout:
// net/http/pprof extends the deadline by the seconds asked for.
const (
	readTimeout    = 5 * time.Second
	writeTimeout   = 15 * time.Second
	idleTimeout    = time.Minute
	gatherTimeout  = 10 * time.Second
	closeTimeout   = time.Second // for answers under way when the process ends
	maxHeaderBytes = 16 << 10
	maxScrapes     = 4
)

// Run serves the ops listener until ctx is cancelled:
//
//	/healthz       200 as long as the process lives
//	/readyz        200 when it can do its work, else 503 and what is awaited (JSON)
//	/metrics       Prometheus or OpenMetrics text
//	/debug/pprof/  profiles
//
// It calls ready once the address is bound.
func (o *Ops) Run(ctx context.Context, ready func()) error {
	if o.listen == "" {
		ready()
		<-ctx.Done()
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("ops listener: %w", err)
	}
	addr := l.Addr().String()
	o.addr.Store(&addr)

	srv := &http.Server{
		Handler:        o.mux(),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	o.Logger.InfoContext(ctx, "ops listener is up", KeyAddr, addr)
	ready()

	select {
	case err := <-served:
		return fmt.Errorf("ops listener: %w", err)
	case <-ctx.Done():
	}
	// What is cut here is a profile or a slow reader; there is nothing to save.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if srv.Shutdown(last) != nil {
		srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("ops listener: %w", err)
	}
	return nil
}

// Addr returns the address of the listener, empty until Run has called ready.
func (o *Ops) Addr() string {
	if addr := o.addr.Load(); addr != nil {
		return *addr
	}
	return ""
}

// mux leaves out pprof's cmdline: flags may hold what should not be shown.
func (o *Ops) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.Handle("GET /readyz", o.Readiness)
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
		Registry:            o.Registry,
		ErrorLog:            slog.NewLogLogger(o.Logger.Handler(), slog.LevelError),
		MaxRequestsInFlight: maxScrapes,
		Timeout:             gatherTimeout,
		EnableOpenMetrics:   true, // carries the trace ids of exemplars
	}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
