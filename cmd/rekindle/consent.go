package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/callback"
	"github.com/rekindle-dev/rekindle/services/exchanger"
)

// consents shows the use case of a consent to the page that a person's browser is
// sent back to.
type consents struct{ *api.Service }

// Consent implements callback.Service.
func (c consents) Consent(ctx context.Context, given callback.Consent) (callback.Verdict, error) {
	v, err := c.Service.Consent(ctx, api.Consent{
		State: given.State, Code: given.Code, Error: given.Error, Params: given.Params,
	})
	switch {
	case errors.Is(err, api.ErrNoDialog):
		return callback.Verdict{}, callback.ErrNoDialog
	case errors.Is(err, api.ErrUnavailable), errors.Is(err, api.ErrNotReady):
		return callback.Verdict{}, fmt.Errorf("%w: %w", callback.ErrUnavailable, err)
	case err != nil:
		return callback.Verdict{}, err
	}
	verdict := callback.Verdict{Secret: v.Secret.Name, Provider: v.Provider, Result: result(v, given)}
	if v.Failure != nil {
		verdict.Detail = v.Failure.Detail
	}
	return verdict, nil
}

func result(v api.Verdict, given callback.Consent) callback.Result {
	switch {
	case !v.Known:
		return callback.Working
	case v.Held:
		return callback.Held
	case v.Failure == nil:
		return callback.Authorized
	case given.Error != "":
		return callback.Refused
	default:
		return callback.Failed
	}
}

// resolve fills the placeholders of the apps' providers.
func resolve(apps provider.Apps) (provider.Apps, error) {
	resolved := make(provider.Apps, len(apps))
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		app := apps[name]
		d, err := app.Provider.At(app.Registration.Values)
		if err != nil {
			return nil, fmt.Errorf("providers.%s: %w", name, err)
		}
		resolved[name] = provider.App{Provider: d, Registration: app.Registration}
	}
	return resolved, nil
}

// exchangerApps are the apps with what exchangers alone may know of them.
func (f *fleet) exchangerApps(apps provider.Apps) map[string]exchanger.App {
	known := make(map[string]exchanger.App, len(apps))
	for name, app := range apps {
		known[name] = exchanger.App{Provider: app.Provider, ClientID: app.Registration.ClientID, Secret: f.appSecrets[name]}
	}
	return known
}
