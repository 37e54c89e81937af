package main

import "github.com/rekindle-dev/rekindle/services/exchanger"

// exchangerApps are the apps with what exchangers alone may know of them.
func (s *settings) exchangerApps() map[string]exchanger.App {
	known := make(map[string]exchanger.App, len(s.apps))
	for name, app := range s.apps {
		known[name] = exchanger.App{Provider: app.Provider, ClientID: app.Registration.ClientID, Secret: s.appSecrets[name]}
	}
	return known
}
