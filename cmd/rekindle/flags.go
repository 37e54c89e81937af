package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/pkg/config"
)

// envPrefix begins the name of every environment variable of the program.
const envPrefix = "REKINDLE"

// usageError is a command line that was not understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}

// command makes a command whose flags may come from the environment, too: from
// the variables that begin with prefix.
func command(prefix string, c cobra.Command, do func(*cobra.Command) error) *cobra.Command {
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("%q is too much: %s takes flags only", args[0], c.Use)}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := config.BindEnv(c.Flags(), prefix, os.LookupEnv); err != nil {
			return &usageError{err}
		}
		return do(c)
	}
	return &c
}
