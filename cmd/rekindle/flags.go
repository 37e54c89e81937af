package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

// flagProblem says what is wrong with a flag. The errors of pflag show its
// value.
func flagProblem(err error) error {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Errorf("--%s: not a valid %s", e.GetFlag().Name, e.GetFlag().Value.Type())
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok && e.GetSpecifiedShortnames() != "" {
		return errors.New("unknown flag with a single dash: flags have two")
	}
	if _, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return errors.New("a flag without a name")
	}
	return err
}

// command makes a command whose flags may come from the environment, too: from
// the variables that begin with prefix.
func command(prefix string, c cobra.Command, do func(*cobra.Command) error) *cobra.Command {
	c.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &usageError{fmt.Errorf("%s takes flags only", c.Use)}
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
