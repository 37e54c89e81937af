package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Headers of an atomic batch (NATS ADR-50). nats.go has no call for it.
const (
	headerBatchID     = "Nats-Batch-Id"
	headerBatchSeq    = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

const (
	// maxBatches is how many batches one process has in flight. The server
	// takes 50 per stream, of all processes, and refuses more.
	maxBatches = 8
	// batchPause and maxBatchPause bound the growing pause after a refusal.
	batchPause    = 5 * time.Millisecond
	maxBatchPause = 200 * time.Millisecond
)

// commitBatch publishes the messages as one atomic batch.
//
// When the server has too many batches under way it refuses the first message
// of another without a word, because nobody waits for an answer to it, and
// calls the batch incomplete at its end; so it does when the connection was
// replaced in the middle. Either way nothing was written.
func (b *Bus) commitBatch(ctx context.Context, msgs []*nats.Msg) (state.Revision, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	select {
	case b.batches <- struct{}{}:
		defer func() { <-b.batches }()
	case <-ctx.Done():
		return 0, translate(ctx.Err())
	}
	for wait := batchPause; ; wait = min(2*wait, maxBatchPause) {
		rev, err := b.tryBatch(ctx, msgs)
		if !hasCode(err, codeTooManyBatches) && !hasCode(err, codeIncompleteBatch) {
			return rev, translate(err)
		}
		if pause(ctx, wait) != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
}

// tryBatch sends all messages but the last without waiting for an answer, and
// the last with the order to commit; its answer speaks for all.
func (b *Bus) tryBatch(ctx context.Context, msgs []*nats.Msg) (state.Revision, error) {
	id := nuid.Next()
	last := len(msgs) - 1
	for i, m := range msgs {
		m.Header.Set(headerBatchID, id)
		m.Header.Set(headerBatchSeq, strconv.Itoa(i+1))
	}
	msgs[last].Header.Set(headerBatchCommit, "1")
	for _, m := range msgs[:last] {
		if err := b.nc.PublishMsg(m); err != nil {
			return 0, err
		}
	}
	sequence, err := b.store(ctx, msgs[last])
	return state.Revision(sequence), err
}
