package work_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	retry, reject := work.RetryAfter(time.Minute, io.EOF), work.Reject(io.EOF)
	tests := []struct {
		name     string
		err      error
		after    time.Duration
		retry    bool
		rejected bool
		text     string
	}{
		{"done", nil, 0, false, false, ""},
		{"failed", io.EOF, 0, false, false, "EOF"},
		{"retry", retry, time.Minute, true, false, "retry after 1m0s: EOF"},
		{"retry at once", work.RetryAfter(0, io.EOF), 0, true, false, "retry after 0s: EOF"},
		{"rejected", reject, 0, false, true, "rejected: EOF"},
		{"retry, wrapped", fmt.Errorf("order: %w", retry), time.Minute, true, false, "order: retry after 1m0s: EOF"},
		{"rejected, wrapped", fmt.Errorf("order: %w", reject), 0, false, true, "order: rejected: EOF"},
		{"rejected, joined", errors.Join(io.ErrUnexpectedEOF, reject), 0, false, true, "unexpected EOF\nrejected: EOF"},
	}
	for _, test := range tests {
		after, again := work.Retry(test.err)
		if after != test.after || again != test.retry {
			t.Errorf("%s: retry %v after %v, want %v after %v", test.name, again, after, test.retry, test.after)
		}
		if got := work.Rejected(test.err); got != test.rejected {
			t.Errorf("%s: rejected %v, want %v", test.name, got, test.rejected)
		}
		if test.err == nil {
			continue
		}
		if test.err.Error() != test.text {
			t.Errorf("%s: text %q, want %q", test.name, test.err, test.text)
		}
		if !errors.Is(test.err, io.EOF) {
			t.Errorf("%s: the reason is lost", test.name)
		}
	}
}

// Of two verdicts the outer one counts, and only it.
func TestVerdictAroundVerdict(t *testing.T) {
	t.Parallel()
	retry := work.RetryAfter(time.Minute, work.Reject(io.EOF))
	if after, ok := work.Retry(retry); !ok || after != time.Minute || work.Rejected(retry) {
		t.Errorf("a retry because of a rejection: retry %v after %v, rejected %v", ok, after, work.Rejected(retry))
	}
	reject := work.Reject(work.RetryAfter(time.Minute, io.EOF))
	if _, ok := work.Retry(reject); ok || !work.Rejected(reject) {
		t.Errorf("a rejection because of a retry: retry %v, rejected %v", ok, work.Rejected(reject))
	}
}
