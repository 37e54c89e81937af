//go:build !unix

package natsd

// lock does nothing where there is no flock: there, starting two servers on
// one directory is the operator's mistake to avoid.
func lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
