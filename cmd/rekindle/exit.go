package main

import (
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// The exit codes of the program.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitRefused  = 4
	exitNoServer = 5
)

// newExitCodes is a help topic: a command that does nothing.
func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: "Exit codes:\n\n" +
			"  0  done\n" +
			"  1  failed, or the answer could not be printed; with --wait also: the secret\n" +
			"     failed, or the time was up\n" +
			"  2  not understood: the command line, or a name that several things have\n" +
			"  3  there is no such thing\n" +
			"  4  the server refused it: something in it is invalid, or in conflict\n" +
			"  5  no server answers, or what does is not ready or no Rekindle, or does not\n" +
			"     accept the bearer token",
	}
}

// codedError is an error with the exit code it ends the program with.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// exitCode returns the code for an error of a command that was understood.
func exitCode(err error) int {
	if coded, ok := errors.AsType[*codedError](err); ok {
		return coded.code
	}
	if isUsage(err) {
		return exitUsage
	}
	if answer, ok := errors.AsType[*client.Error](err); ok {
		return exitOfStatus(answer.Status)
	}
	return exitFailed
}

func exitOfStatus(status int) int {
	switch {
	case status == http.StatusNotFound:
		return exitNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden, client.Away(status):
		return exitNoServer
	case status >= 400 && status < 500:
		return exitRefused
	default:
		return exitFailed
	}
}
