package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const testGroup = "group"

// handing takes the pages that a bus hands over, until stop is called.
func handing(t *testing.T, b *Bus, handle func(page string) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Pages(ctx, testGroup, func(_ context.Context, page []byte) error { return handle(string(page)) })
	}()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}

// known waits until the server knows the group.
func known(t *testing.T, b *Bus) {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), streamAudit)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the group is known", func() bool {
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if strings.HasPrefix(name, testGroup+"-") {
				return true
			}
		}
		return false
	})
}

// TestPages: a new group begins at what is written from then on, and one that comes back goes
// on where it was; of two that take, each page goes to one, in the order of the trail.
func TestPages(t *testing.T) {
	t.Parallel()
	b := open(t)
	log := openAudit(t, b)
	var last uint64
	write := func(n int) {
		t.Helper()
		var err error
		if last, err = log.Append(t.Context(), "ORG@Test", fmt.Appendf(nil, "page %d", n), last); err != nil {
			t.Fatal(err)
		}
	}
	write(1) // ahead of the group
	came := make(chan string)
	take := func(page string) error { came <- page; return nil }
	stopOne, stopTwo := handing(t, b, take), handing(t, b, take)
	known(t, b)
	for n := 2; n <= 9; n++ {
		write(n)
	}
	for n := 2; n <= 9; n++ {
		if got, want := next(t, came), fmt.Sprintf("page %d", n); got != want {
			t.Fatalf("%s has come, want %s", got, want)
		}
	}
	stopOne()
	stopTwo()
	write(10) // while nobody takes
	stop := handing(t, b, take)
	defer stop()
	if got := next(t, came); got != "page 10" {
		t.Errorf("%s has come to who is back, want page 10", got)
	}
}

// TestPageComesAgain that was refused, or at which the handler has panicked: before anything
// behind it.
func TestPageComesAgain(t *testing.T) {
	t.Parallel()
	b := open(t)
	log := openAudit(t, b)
	came := make(chan string)
	refusals := 0
	stop := handing(t, b, func(page string) error {
		came <- page
		if page != "page 1" {
			return nil
		}
		switch refusals++; refusals {
		case 1:
			return errors.New("not now")
		case 2:
			panic("at page 1")
		default:
			return nil
		}
	})
	defer stop()
	known(t, b)
	var last uint64
	for _, page := range []string{"page 1", "page 2"} {
		var err error
		if last, err = log.Append(t.Context(), "ORG@Test", []byte(page), last); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"page 1", "page 1", "page 1", "page 2"} {
		if got := next(t, came); got != want {
			t.Fatalf("%s has come, want %s", got, want)
		}
	}
}
