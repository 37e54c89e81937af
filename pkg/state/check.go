package state

import (
	"fmt"
	"strings"
	"time"
)

// CheckKey returns nil for a key as the package comment describes it, not
// longer than MaxKey, and an error that is ErrMalformed otherwise.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("%w key: %d bytes, at most %d are allowed", ErrMalformed, len(key), MaxKey)
	}
	for part := range strings.SplitSeq(key, ".") {
		if !plain(part) {
			return fmt.Errorf("%w key %.80q: part %.40q", ErrMalformed, key, part)
		}
	}
	return nil
}

// CheckPatterns returns nil for one or more patterns, each a key in which parts
// may be "*" and the last may be ">", all of one bucket, and an error that is
// ErrMalformed otherwise.
func CheckPatterns(patterns []string) error {
	if len(patterns) == 0 {
		return fmt.Errorf("%w: no pattern", ErrMalformed)
	}
	for _, pattern := range patterns {
		parts := strings.Split(pattern, ".")
		for i, part := range parts {
			last := i == len(parts)-1
			if part != "*" && (part != ">" || !last) && !plain(part) {
				return fmt.Errorf("%w pattern %.80q: part %.40q", ErrMalformed, pattern, part)
			}
		}
		if BucketOf(pattern) != BucketOf(patterns[0]) {
			return fmt.Errorf("%w patterns: %.80s and %.80s are of two buckets", ErrMalformed, patterns[0], pattern)
		}
	}
	return nil
}

// CheckWrites returns nil for writes that a store can commit together: between
// 1 and MaxCommit of them, each under a good key of its own, all in one bucket,
// with a value of 1 to MaxValue bytes or a removal that expects a revision, and a life
// of whole seconds if any. Its error is ErrMalformed.
func CheckWrites(writes []Write) error {
	if len(writes) == 0 || len(writes) > MaxCommit {
		return fmt.Errorf("%w commit: %d writes, between 1 and %d are allowed", ErrMalformed, len(writes), MaxCommit)
	}
	seen := make(map[string]bool, len(writes))
	for _, w := range writes {
		if err := CheckKey(w.Key); err != nil {
			return err
		}
		switch {
		case seen[w.Key]:
			return fmt.Errorf("%w commit: %s is written twice", ErrMalformed, w.Key)
		case BucketOf(w.Key) != BucketOf(writes[0].Key):
			return fmt.Errorf("%w commit: %.80s and %.80s are kept in two buckets", ErrMalformed, writes[0].Key, w.Key)
		case w.Value == nil && w.Expect == 0:
			return fmt.Errorf("%w commit: the removal of %s expects no revision", ErrMalformed, w.Key)
		case w.Life < 0 || w.Life%time.Second != 0 || w.Life > 0 && w.Value == nil:
			return fmt.Errorf("%w commit: %s cannot have a life of %v", ErrMalformed, w.Key, w.Life)
		case w.Value != nil && len(w.Value) == 0:
			return fmt.Errorf("%w commit: the value of %s is empty", ErrMalformed, w.Key)
		case len(w.Value) > MaxValue:
			return fmt.Errorf("%w commit: the value of %s has %d bytes, at most %d are allowed",
				ErrMalformed, w.Key, len(w.Value), MaxValue)
		}
		seen[w.Key] = true
	}
	return nil
}

// plain reports whether part is not empty and of the letters that keys are
// made of.
func plain(part string) bool {
	for _, c := range []byte(part) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c != '=' {
			return false
		}
	}
	return part != ""
}
