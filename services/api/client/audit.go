package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AuditEvent is an entry of the audit trail (contract A15.8).
type AuditEvent struct {
	ID
	Source
	Attributes struct {
		By          string    `json:"attributed_to_display_name"`
		Email       string    `json:"attributed_to_email"`
		CreatedAt   time.Time `json:"created_at"`
		DisplayName string    `json:"display_name"`
		TypeOf      string    `json:"type_of"`
	} `json:"attributes"`
	Relationships struct {
		Entity Reference `json:"entity"`
	} `json:"relationships"`
	Meta struct {
		PropertyName string `json:"property_name"`
		Action       string `json:"action"`
		Outcome      string `json:"outcome"`
		Reason       string `json:"reason"`
		Purpose      string `json:"purpose"`
	} `json:"meta"`
}

// AuditEvents lists no more than most entries that the filter selects, the last first.
// Until is how far back was looked for them, zero if that was all. An expression is as in a
// filter of the API, its operator included.
func (c *Client) AuditEvents(ctx context.Context, expressions map[string]string, most int) (found []AuditEvent, until time.Time, err error) {
	query := url.Values{"page[size]": {strconv.Itoa(min(most, 999))}}
	for attribute, expression := range expressions {
		query.Set("filter["+attribute+"]", expression)
	}
	for number := 1; len(found) < most; number++ {
		query.Set("page[number]", strconv.Itoa(number))
		var doc struct {
			Data []json.RawMessage `json:"data"`
			Meta struct {
				Pagination    Pagination `json:"pagination"`
				SearchedUntil time.Time  `json:"searched_until"`
			} `json:"meta"`
		}
		if err := c.do(ctx, http.MethodGet, "/audit_events?"+query.Encode(), nil, &doc); err != nil {
			return nil, until, err
		}
		for _, raw := range doc.Data {
			one, err := decode[AuditEvent](raw)
			if err != nil {
				return nil, until, err
			}
			found = append(found, one)
		}
		until = doc.Meta.SearchedUntil
		if doc.Meta.Pagination.NextPage == nil {
			break
		}
	}
	return found[:min(len(found), most)], until, nil
}

// AuditPage is a page of the audit trail as it is stored.
type AuditPage struct {
	Sequence uint64
	Body     []byte
}

// AuditPages returns the pages behind the one with the sequence after, 0 for the first.
// Behind the last there are none.
func (c *Client) AuditPages(ctx context.Context, after uint64) ([]AuditPage, error) {
	var doc struct {
		Data []struct {
			ID         string `json:"id"`
			Attributes struct {
				Body []byte `json:"body"`
			} `json:"attributes"`
		} `json:"data"`
	}
	if err := c.do(ctx, http.MethodGet, "/audit_pages?page[after]="+strconv.FormatUint(after, 10), nil, &doc); err != nil {
		return nil, err
	}
	pages := make([]AuditPage, len(doc.Data))
	for i, p := range doc.Data {
		sequence, err := strconv.ParseUint(p.ID, 10, 64)
		if err != nil || sequence <= after {
			return nil, &ForeignError{c.base, http.StatusOK}
		}
		after = sequence
		pages[i] = AuditPage{sequence, p.Attributes.Body}
	}
	return pages, nil
}
