package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// BindEnv sets every flag that was not set on the command line from its
// environment variable, if that is there and not empty. A set flag counts as
// Changed afterwards, so that one question tells a choice from a default.
// lookup is os.LookupEnv but in tests. The error joins all variables that do not
// fit, by name; it does not show their values.
func BindEnv(flags *pflag.FlagSet, prefix string, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := EnvName(prefix, f.Name)
		value, _ := lookup(name)
		if f.Changed || value == "" || f.Name == "help" {
			return
		}
		if flags.Set(f.Name, value) != nil {
			errs = append(errs, fmt.Errorf("%s: not a valid %s", name, f.Value.Type()))
		}
	})
	return errors.Join(errs...)
}

// EnvName returns the variable of a flag: "REKINDLE" and "ops-listen" make
// REKINDLE_OPS_LISTEN.
func EnvName(prefix, flag string) string {
	return prefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
