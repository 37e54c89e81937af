package ops

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gathered returns the one metric of a name, straight from the registry.
func gathered(t *testing.T, o *Ops, name string) *dto.Metric {
	t.Helper()
	families, err := o.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0]
		}
	}
	t.Fatalf("no single metric %s", name)
	return nil
}

// serve runs the ops listener on a free port until the test ends.
func serve(t *testing.T) (o *Ops, get func(path string) (status int, body string)) {
	t.Helper()
	o, shutdown, _ := newOps(t, Config{Listen: "127.0.0.1:0"})
	if o.Addr() != "" {
		t.Error("an address before there is one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- o.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	client := &http.Client{Transport: new(http.Transport)}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o, func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + o.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	o, get := serve(t)
	check := func(path string, status int, body string) {
		t.Helper()
		gotStatus, gotBody := get(path)
		if gotStatus != status || gotBody != body+"\n" {
			t.Errorf("%s: %d %s", path, gotStatus, gotBody)
		}
	}
	check("/healthz", 200, "ok")
	check("/readyz", 503, `{"ready":false}`)
	api := o.Readiness.Add("api")
	bus := o.Readiness.Add("bus")
	check("/readyz", 503, `{"ready":false,"waiting":[{"name":"api","why":"starting"},{"name":"bus","why":"starting"}]}`)
	bus(true, "")
	check("/readyz", 503, `{"ready":false,"waiting":[{"name":"api","why":"starting"}]}`)
	api(true, "")
	check("/readyz", 200, `{"ready":true}`)
	bus(false, "disconnected")
	check("/readyz", 503, `{"ready":false,"waiting":[{"name":"bus","why":"disconnected"}]}`)
	check("/healthz", 200, "ok")
}

func TestMetrics(t *testing.T) {
	o, get := serve(t)
	o.Logger.Info("m", "password", "s3cret")
	status, text := get("/metrics")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := families["rekindle_log_keys_refused_total"].GetMetric()[0].GetCounter().GetValue(); got != 1 {
		t.Errorf("%v keys refused", got)
	}
	info := families["rekindle_build_info"].GetMetric()[0]
	labels := map[string]string{}
	for _, l := range info.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	if diff := cmp.Diff(map[string]string{"version": "v1.2.3", "target": "exchanger"}, labels); diff != "" || info.GetGauge().GetValue() != 1 {
		t.Errorf("build info: %v\n%s", info, diff)
	}
	want := []string{"go_goroutines", "rekindle_spans_lost_total", "promhttp_metric_handler_errors_total"}
	if runtime.GOOS == "linux" {
		want = append(want, "process_open_fds")
	}
	for _, name := range want {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

func TestProfiles(t *testing.T) {
	_, get := serve(t)
	for path, want := range map[string]int{
		"/debug/pprof/":                  200,
		"/debug/pprof/goroutine?debug=1": 200,
		"/debug/pprof/heap":              200,
		"/debug/pprof/trace?seconds=0.1": 200,
		"/debug/pprof/cmdline":           404, // flags may hold what should not be shown
		"/debug/vars":                    404,
		"/":                              404,
	} {
		if status, body := get(path); status != want {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
}

func TestStopCutsWhatLasts(t *testing.T) {
	o, shutdown, _ := newOps(t, Config{Listen: "127.0.0.1:0"})
	defer shutdown(t.Context())
	scraping, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	o.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "slow"}, func() float64 {
		close(scraping)
		<-release
		return 0
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- o.Run(ctx, func() { close(ready) }) }()
	<-ready

	conn, err := net.Dial("tcp", o.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-scraping
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunWithoutListener(t *testing.T) {
	o, shutdown, _ := newOps(t, Config{})
	defer shutdown(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	if err := o.Run(ctx, cancel); err != nil || o.Addr() != "" {
		t.Errorf("%v, listening on %q", err, o.Addr())
	}
}

func TestRunFailsWhenTheAddressIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o, shutdown, _ := newOps(t, Config{Listen: l.Addr().String()})
	defer shutdown(t.Context())
	if err := o.Run(t.Context(), func() { t.Error("ready") }); err == nil {
		t.Error("no error")
	}
}
