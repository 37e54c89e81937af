package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// What people are asked at a terminal, and what programs send instead. Questions
// go to standard error, so that answers can be kept.

// fromStdin names standard input where a file is asked for.
const fromStdin = "-"

// maxHidden bounds what is read as a credential, in bytes; the server's own
// limit is lower.
const maxHidden = 64 << 10

// terminal returns the file descriptor of a stream that is a terminal.
func terminal(stream any) (int, bool) {
	if out, ok := stream.(*output); ok {
		stream = out.to
	}
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}

func bindYes(c *cobra.Command, yes *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; without a terminal nobody is asked anyway")
}

// confirm asks whoever sits at the terminal before what cannot be undone.
func (s *session) confirm(ctx context.Context, yes bool, question string) error {
	if _, ok := terminal(s.in); !ok || yes {
		return nil
	}
	fmt.Fprintf(s.err, "%s [y/N] ", oneLine(question))
	answer, err := hear(ctx, func() (string, error) { return bufio.NewReader(s.in).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// hear waits for what a person types, or for the context. To read from a
// terminal cannot be called off: what is given up waits until the program ends.
func hear[T any](ctx context.Context, read func() (T, error)) (value T, err error) {
	type result struct {
		value T
		err   error
	}
	heard := make(chan result, 1)
	go func() {
		value, err := read()
		heard <- result{value, err}
	}()
	select {
	case r := <-heard:
		return r.value, r.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// readHidden reads a hidden credential: from a file, from standard input, or
// from a terminal, which does not show it. The value is the caller's to wipe; no
// error quotes it.
func (s *session) readHidden(ctx context.Context, field, from string) (seal.Plaintext, error) {
	read := func() ([]byte, error) { return s.read(from) }
	switch fd, interactive := terminal(s.in); {
	case from != fromStdin:
	case interactive && field == "private_key": // of many lines, which no prompt takes
		return seal.Plaintext{}, &usageError{errors.New("name the file of the private key with --secret-file")}
	case interactive:
		read = func() ([]byte, error) { return s.prompt(ctx, fd, field) }
	}
	text, err := read()
	defer clear(text)
	if err != nil {
		return seal.Plaintext{}, err
	}
	switch value := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")); {
	case len(value) == 0:
		return seal.Plaintext{}, &usageError{fmt.Errorf("the %s is empty: type it at a terminal, pipe it in, or name its file with --secret-file", words(field))}
	case !utf8.Valid(value):
		return seal.Plaintext{}, &usageError{fmt.Errorf("the %s is not text in UTF-8", words(field))}
	default:
		return seal.NewPlaintext(value), nil
	}
}

// prompt asks for a line without showing it. Whoever interrupts it gets a
// terminal back that shows what is typed.
func (s *session) prompt(ctx context.Context, fd int, field string) ([]byte, error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprintf(s.err, "%s: ", words(field))
	text, err := hear(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	fmt.Fprintln(s.err)
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return text, nil
}

// read reads a credential's worth of a file, or of standard input.
func (s *session) read(name string) ([]byte, error) {
	if name == fromStdin {
		return readAll(s.in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f)
}

// readAll reads a credential's worth.
func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxHidden+1))
	if err == nil && len(text) > maxHidden {
		err = &usageError{fmt.Errorf("longer than %d bytes: that is not a credential", maxHidden)}
	}
	return text, err
}

// words writes the name of a member for people.
func words(member string) string { return strings.ReplaceAll(member, "_", " ") }
