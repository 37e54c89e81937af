package main

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

// output is standard output. It keeps the first error, so that no command has to
// look at each line it prints, and prints nothing more after it.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(b []byte) (n int, err error) {
	if o.err == nil {
		n, o.err = o.to.Write(b)
	}
	return n, o.err
}

// lost says that what was printed has not all arrived. A reader who has had
// enough, like head, has lost nothing.
func (o *output) lost() error {
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("the answer is lost: %w", o.err)
}
