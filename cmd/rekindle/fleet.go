package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/rekindle-dev/rekindle/pkg/bus"
	"github.com/rekindle-dev/rekindle/pkg/natsd"
	"github.com/rekindle-dev/rekindle/pkg/ops"
	"github.com/rekindle-dev/rekindle/pkg/run"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/callback"
	"github.com/rekindle-dev/rekindle/services/api/intake"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
	"github.com/rekindle-dev/rekindle/services/api/status"
	"github.com/rekindle-dev/rekindle/services/courier"
	"github.com/rekindle-dev/rekindle/services/exchanger"
	"github.com/rekindle-dev/rekindle/services/scheduler"
)

// tracerName is the instrumentation scope of every span of the program.
const tracerName = "github.com/rekindle-dev/rekindle"

// fleet is the wiring of one process: an ordered list of tasks, of which a
// target runs some. Each task may use what those before it have made.
type fleet struct {
	*settings
	name string // of this process, in claims, lists of members and logs
	ops  *ops.Ops

	// How what the fleet stands on is, beside its tasks.
	stored, connected, sealing func(ok bool, why string)

	natsd *natsd.Server // nil when another server is used
	bus   *bus.Bus
	state *bus.State
	api   *api.Service
	// public is the URL at which the API is reached, once it is.
	public string
	// courier is nil in a process that has not the key it signs with.
	courier *courier.Courier
}

// tasks is the fleet in the order of its start: what serves the others first.
// The embedded server is one task more at its head, never another program.
func (f *fleet) tasks() []run.Task {
	var tasks []run.Task
	add := func(wanted bool, name string, do func(context.Context, func()) error) {
		if wanted {
			tasks = append(tasks, run.Task{Name: name, Run: f.watched(name, do)})
		}
	}
	tasks = append(tasks, run.Task{Name: "ops", Run: f.ops.Run})
	if f.embedded() {
		f.stored = f.ops.Readiness.Add("store")
	}
	add(f.embedded(), "nats", f.runNATS)
	f.connected = f.ops.Readiness.Add("bus")
	tasks = append(tasks, run.Task{Name: "bus", Run: f.runBus})
	add(f.runs(targetExchanger), targetExchanger, f.runExchanger)
	add(f.runs(targetScheduler), targetScheduler, f.runScheduler)
	add(f.runs(targetAPI), "courier", f.runCourier)
	add(f.runs(targetAPI), "projection", f.runProjection)
	if f.runs(targetAPI) {
		f.sealing = f.ops.Readiness.Add("keyset")
		f.sealing(false, "no exchanger has published the fleet's keyset yet")
	}
	add(f.runs(targetAPI), "keys", f.runKeys)
	add(f.runs(targetAPI), targetAPI, f.runAPI)
	add(f.runs(targetAPI), "intake", f.runIntake)
	return tasks
}

// watched makes a task count for the readiness of the process: from when it is
// ready until it is asked to stop.
func (f *fleet) watched(name string, do func(context.Context, func()) error) func(context.Context, func()) error {
	set := f.ops.Readiness.Add(name)
	return func(ctx context.Context, ready func()) error {
		defer context.AfterFunc(ctx, func() { set(false, "stopping") })()
		return do(ctx, func() {
			set(true, "")
			ready()
		})
	}
}

func (f *fleet) runNATS(ctx context.Context, ready func()) (err error) {
	f.natsd, err = natsd.Start(ctx, natsd.Config{StoreDir: filepath.Join(f.dataDir, "nats"), Logger: f.ops.Logger})
	if err != nil {
		return err
	}
	f.stored(true, "")
	ready()
	err = f.natsd.Run(ctx, f.stored)
	return errors.Join(err, f.natsd.Stop())
}

func (f *fleet) runBus(ctx context.Context, ready func()) (err error) {
	cfg := f.nats.config(f.role())
	cfg.Name, cfg.Replicas, cfg.Audit, cfg.Local, cfg.Logger = "rekindle "+f.target, f.file.NATS.Replicas, f.auditKept(), f.local, f.ops.Logger
	cfg.OnConnected = func(ok bool) { f.connected(ok, "not connected to NATS") }
	if f.natsd != nil {
		cfg.URL = f.natsd.URL()
		cfg.User, cfg.Password = f.natsd.Credentials()
	}
	if f.bus, err = bus.Connect(ctx, cfg); err != nil {
		return err
	}
	defer f.bus.Close()
	if f.state, err = f.bus.State(ctx); err != nil {
		return err
	}
	f.ops.Registry.MustRegister(f.bus.Clock(), f.bus.Refused())
	ready()
	f.bus.KeepTime(ctx)
	return nil
}

// role is what this process is to the NATS server: that of its target. Who runs all of
// them needs credentials that are good for everything.
func (f *fleet) role() bus.Role {
	switch f.target {
	case targetAPI:
		return bus.RoleAPI
	case targetScheduler:
		return bus.RoleScheduler
	case targetExchanger:
		return bus.RoleExchanger
	default:
		return ""
	}
}

func (f *fleet) runExchanger(ctx context.Context, ready func()) error {
	ring, err := f.loadKeyring(ctx)
	if err != nil {
		return err
	}
	defer f.announceRegistrations(ctx)()
	egress := exchanger.EgressConfig{Allow: f.allow, Timeout: time.Duration(f.file.Exchanger.Timeout), Now: f.bus.Now}
	client := exchanger.NewClient(egress)
	defer client.Close()
	apps, closeApps := f.exchangerApps(egress)
	defer closeApps()
	x, err := exchanger.New(exchanger.Deps{
		Name: f.name, State: f.state, Jobs: f.bus, Events: f.bus, Keyring: ring, Client: client, Now: f.bus.Now,
		Policy: f.policy, Apps: apps, Workers: f.file.Exchanger.Workers, Steady: f.bus.Steady, Reached: f.reached, Logger: f.ops.Logger,
		Tracer: f.ops.TracerProvider.Tracer(tracerName), Registry: f.ops.Registry,
	})
	if err != nil {
		return err
	}
	return x.Run(ctx, run.Hard(ctx), ready)
}

// announceRegistrations announces the ends of client secrets beside the
// exchanger, until the function that it returns has ended it.
func (f *fleet) announceRegistrations(ctx context.Context) (stop func()) {
	r := exchanger.NewRegistrations(exchanger.RegistrationsDeps{
		Apps: f.apps, State: f.state, Events: f.bus, Logger: f.ops.Logger, Registry: f.ops.Registry,
	})
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) }) //nolint:errcheck // it ends with ctx, without an error
	return func() { cancel(); running.Wait() }
}

// loadKeyring reads the private keys, and makes them at the very first start.
// That is safe: an exchanger whose keys are not the fleet's is refused.
func (f *fleet) loadKeyring(ctx context.Context) (*seal.Keyring, error) {
	if err := f.checkKeyring(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(f.keyring), 0o700); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	ring, created, err := seal.CreateKeyring(f.keyring, time.Now())
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if created {
		f.ops.Logger.WarnContext(ctx, "made a new keyring; back it up: without it nothing that is stored can be opened", "path", f.keyring)
	}
	return ring, nil
}

// checkKeyring refuses to make a keyring for a fleet that has one. It asks for
// the fleet's keyset first: whoever published that had the file by then.
func (f *fleet) checkKeyring(ctx context.Context) error {
	_, _, err := f.state.Get(ctx, state.KeysetKey)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(f.keyring); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no %s, but the fleet has a keyring already: give this exchanger a copy of it (--keyring)", f.keyring)
	}
	return nil // what else may be wrong, reading it tells
}

func (f *fleet) runScheduler(ctx context.Context, ready func()) error {
	members, err := f.bus.Members(ctx, f.name)
	if err != nil {
		return err
	}
	f.ops.Registry.MustRegister(f.bus.Queues())
	return scheduler.New(scheduler.Deps{
		State: f.state, Jobs: f.bus, Members: members, Budgets: f.budgets, Now: f.bus.Now, Logger: f.ops.Logger,
		Tracer: f.ops.TracerProvider.Tracer(tracerName), Registerer: f.ops.Registry,
	}).Run(ctx, ready)
}

func (f *fleet) runProjection(ctx context.Context, ready func()) error {
	trail, err := f.bus.Audit(ctx)
	if err != nil {
		return err
	}
	board, err := f.board(ctx)
	if err != nil {
		return err
	}
	f.api = api.New(api.Config{
		Org: f.file.Company.Org, Company: f.file.Company.Name, Policy: f.policy, Apps: f.apps, PlainHTTP: f.allow,
	}, api.Deps{
		State: f.state, Events: f.bus, Tester: f.bus, Ledger: f.bus, Log: f.bus, Parked: f.bus, Jobs: f.bus,
		Audit: trail, Heard: f.bus, Courier: f.courierOfAPI(), Board: board,
		Now: f.bus.Now, Logger: f.ops.Logger, Metrics: f.ops.Registry,
	})
	ctx, stop := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer stop()
	waiting.Go(func() {
		select {
		case <-f.api.Sealing():
			f.sealing(true, "")
		case <-ctx.Done():
		}
	})
	return f.api.Run(ctx, ready)
}

// runKeys tells publishers the fleet's public keyset, on NATS.
func (f *fleet) runKeys(ctx context.Context, ready func()) error {
	ready()
	return f.bus.AnswerKeyset(ctx, func() ([]byte, error) {
		body, _, err := f.api.PublicKeyset()
		return body, err
	})
}

// board is where statuses are shown, nil when they are not.
func (f *fleet) board(ctx context.Context) (api.Board, error) {
	if publish := f.file.Status.Publish; publish != nil && !*publish {
		return nil, nil
	}
	members, err := f.bus.Members(ctx, f.name)
	if err != nil {
		return nil, err
	}
	return status.New(status.Deps{
		Bucket: f.bus.Statuses(), Members: members, Records: f.state,
		Logger: f.ops.Logger, Metrics: f.ops.Registry, Now: f.bus.Now,
	}), nil
}

func (f *fleet) runAPI(ctx context.Context, ready func()) error {
	token, err := f.firstToken()
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	public := cmp.Or(f.publicURL, "http://"+ln.Addr().String())
	f.public = public
	f.ops.Logger.InfoContext(ctx, "serving the API", "addr", ln.Addr().String(), "url", public)
	tracer := f.ops.TracerProvider
	limiter := auth.NewLimiter(f.limits)
	gate, stopIssuers := f.gate(ctx, token)
	defer stopIssuers()
	mux := http.NewServeMux()
	mux.Handle(callback.Path, callback.New(callback.Deps{
		Service: f.api, Admit: limiter.Stranger, PublicURL: public, Names: f.apps.CallbackNames(), Logger: f.ops.Logger, Metrics: f.ops.Registry, Tracer: tracer,
	}))
	mux.Handle("/", reactor.New(reactor.Deps{
		Service:   f.api,
		Gate:      gate,
		Limiter:   limiter,
		Origins:   f.file.CORS.Origins,
		PublicURL: public, Logger: f.ops.Logger, Metrics: f.ops.Registry, Tracer: tracer, Now: f.bus.Now, Stopping: ctx.Done(),
	}))
	return serveHTTP(ctx, ln, reactor.NewServer(mux, f.ops.Logger), func() {
		ready()
		if f.serving != nil {
			f.serving(public)
		}
	})
}

// runIntake takes in what upstream systems publish.
func (f *fleet) runIntake(ctx context.Context, ready func()) error {
	queue, err := f.bus.Intake(ctx)
	if err != nil {
		return err
	}
	return intake.New(intake.Deps{
		Service: f.api, Queue: queue, Events: f.bus, Callback: strings.TrimSuffix(f.public, "/") + callback.Path,
		Logger: f.ops.Logger, Metrics: f.ops.Registry, Now: f.bus.Now,
	}).Run(ctx, ready)
}

// gate returns whom the API admits. It keeps the keys of issuers until the function
// that it returns has ended that.
func (f *fleet) gate(ctx context.Context, token string) (gate *auth.Gate, stop func()) {
	bootstrap := auth.NewBootstrap(token, auth.Administrator(f.file.Company.Org))
	issuers := auth.NewOIDC(f.issuers, auth.OIDCDeps{Logger: f.ops.Logger, Now: f.bus.Now})
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { issuers.Run(ctx) }) //nolint:errcheck // it ends with ctx, without an error
	return auth.NewGate(bootstrap, f.api, issuers), func() { cancel(); running.Wait() }
}

// serveHTTP serves until ctx ends, then lets the requests that are under way be
// answered.
func serveHTTP(ctx context.Context, ln net.Listener, srv *http.Server, ready func()) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		defer srv.Close()
		err := srv.Shutdown(run.Hard(ctx))
		<-failed //nolint:errcheck // http.ErrServerClosed
		return err
	}
}

// processName tells this process from all others of the fleet.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), nuid.Next())
}
