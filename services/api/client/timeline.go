package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// TimelineEntry is one thing that happened to a secret. What there is nothing to
// say of is zero.
type TimelineEntry struct {
	ID
	Source
	Attributes struct {
		At time.Time `json:"at"`
		// Event is what happened: SecretCreated, ExchangeFailed …
		Event string `json:"event"`
		// EventID is the id of the event.
		EventID       string     `json:"event_id"`
		Action        string     `json:"action"`
		Reason        string     `json:"reason"`
		Detail        string     `json:"detail"`
		By            string     `json:"by"`
		Generation    uint64     `json:"generation"`
		Attempts      int        `json:"attempts"`
		NextAttemptAt *time.Time `json:"next_attempt_at"`
		WorksUntil    *time.Time `json:"works_until"`
	} `json:"attributes"`
}

// Timeline is what happened to a secret, oldest first, up to some moment.
type Timeline struct {
	Entries []TimelineEntry
	// Explanation says why the secret is as it is, and when it will work again.
	Explanation string
	// After is where the rest begins that has not happened yet.
	After string
}

// Timeline returns what happened to a secret behind a place that an earlier call
// has named, "" for the beginning.
func (c *Client) Timeline(ctx context.Context, id, after string) (line Timeline, err error) {
	line.After = after
	for more := true; more; {
		var doc struct {
			Data []json.RawMessage `json:"data"`
			Meta struct {
				Explanation string `json:"explanation"`
				Page        struct {
					After string `json:"after"`
					More  bool   `json:"more"`
				} `json:"page"`
			} `json:"meta"`
		}
		query := url.Values{"page[size]": {"999"}}
		if line.After != "" {
			query.Set("page[after]", line.After)
		}
		if err := c.do(ctx, http.MethodGet, "/secrets/"+id+"/timeline?"+query.Encode(), nil, &doc); err != nil {
			return Timeline{}, err
		}
		for _, raw := range doc.Data {
			entry, err := decode[TimelineEntry](raw)
			if err != nil {
				return Timeline{}, err
			}
			line.Entries = append(line.Entries, entry)
		}
		more = doc.Meta.Page.More && doc.Meta.Page.After != line.After
		line.Explanation, line.After = doc.Meta.Explanation, doc.Meta.Page.After
	}
	return line, nil
}
