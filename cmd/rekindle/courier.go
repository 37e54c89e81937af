package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rekindle-dev/rekindle/pkg/egress"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/courier"
)

// runCourier tells callbacks what happens. A process that has not the fleet's key leaves
// that to others.
func (f *fleet) runCourier(ctx context.Context, ready func()) error {
	key, err := f.callbacksKey(ctx)
	if err != nil {
		return err
	}
	if key == nil {
		ready()
		<-ctx.Done()
		return ctx.Err()
	}
	trail, err := f.bus.Audit(ctx)
	if err != nil {
		return err
	}
	client := courier.NewClient(egress.Config{Allow: f.allow}, courier.PostIn)
	defer client.Close()
	f.courier = courier.New(courier.Deps{
		Name: f.name, State: f.state, Pages: f.bus, Log: trail, Poster: client, Key: key,
		Logger: f.ops.Logger, Metrics: f.ops.Registry, Now: f.bus.Now,
	})
	return f.courier.Run(ctx, ready)
}

// courierOfAPI is the courier as the api asks it, nil if there is none.
func (f *fleet) courierOfAPI() api.Courier {
	if f.courier == nil {
		return nil
	}
	return f.courier
}

// callbacksKey reads the key that callbacks are signed with, and makes it at the very first
// start. It returns nil, and the log says why, if the fleet signs with another or the file is
// of no use: what was configured yesterday must start today, and the rest of the API works.
func (f *fleet) callbacksKey(ctx context.Context) (*webhook.Key, error) {
	path := f.callbacks
	_, err := os.Stat(path)
	adopted, asked := courier.Adopted(ctx, f.state)
	if asked != nil {
		return nil, asked
	}
	const missing = "callbacks are not told anything by this process, nor made: it has not the key that the fleet signs with; " +
		"give it a copy (--callbacks-key)"
	if adopted && errors.Is(err, fs.ErrNotExist) {
		f.ops.Logger.WarnContext(ctx, missing, "path", path)
		return nil, nil
	}
	key, created, err := loadCallbacksKey(path)
	if err != nil {
		f.ops.Logger.ErrorContext(ctx, "callbacks are not told anything by this process, nor made: the key that they are signed with cannot be read or made (--callbacks-key)",
			"path", path, "error", err)
		return nil, nil
	}
	switch err := courier.Adopt(ctx, f.state, key); {
	case errors.Is(err, courier.ErrOtherKey):
		f.ops.Logger.WarnContext(ctx, missing, "path", path)
		return nil, nil
	case err != nil:
		return nil, err
	}
	if created {
		f.ops.Logger.WarnContext(ctx, "made a new key to sign callbacks with; back it up: without it every receiver needs another secret", "path", path)
	}
	return key, nil
}

// loadCallbacksKey reads the key in a file, or makes one.
func loadCallbacksKey(path string) (*webhook.Key, bool, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, err
	}
	return webhook.LoadKey(path)
}
