package reactor

import (
	"cmp"
	"context"
	"net/url"
	"strconv"

	"github.com/rekindle-dev/rekindle/services/api"
)

// The time-line of a secret: an addition to the contract. It is a list with a
// cursor instead of page numbers (the cursor pagination profile of JSON:API):
// what is at its end grows, and whoever asks again from there misses nothing.

// timelineDoc is a part of a time-line.
type timelineDoc struct {
	Data  []timelineEntry `json:"data"`
	Links timelineLinks   `json:"links"`
	Meta  timelineMeta    `json:"meta"`
}

// timelineEntry is a resource that has no place of its own.
type timelineEntry struct {
	ID            string                `json:"id"`
	Type          string                `json:"type"`
	Attributes    timelineAttributes    `json:"attributes"`
	Relationships timelineRelationships `json:"relationships"`
}

// timelineAttributes are as in api.TimelineEntry. What there is nothing to say of
// is left out.
type timelineAttributes struct {
	At            timestamp  `json:"at"`
	Event         string     `json:"event"`
	EventID       string     `json:"event_id,omitempty"`
	Action        string     `json:"action,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	Detail        string     `json:"detail,omitempty"`
	By            string     `json:"by,omitempty"`
	Generation    uint64     `json:"generation,omitempty"`
	Attempts      int        `json:"attempts,omitempty"`
	NextAttemptAt *timestamp `json:"next_attempt_at,omitempty"`
	WorksUntil    *timestamp `json:"works_until,omitempty"`
}

type timelineRelationships struct {
	Secret struct {
		Data identifier `json:"data"`
	} `json:"secret"`
}

type timelineLinks struct {
	Self string `json:"self"`
	// Next is there when there is more by now.
	Next string `json:"next,omitempty"`
}

type timelineMeta struct {
	Explanation string `json:"explanation"`
	Page        struct {
		// After is what page[after] has to be for what comes behind this part,
		// also for what has not happened yet.
		After string `json:"after"`
		More  bool   `json:"more"`
	} `json:"page"`
}

func (v view) timeline(t *api.Timeline, query url.Values) timelineDoc {
	doc := timelineDoc{Data: make([]timelineEntry, len(t.Entries))}
	for i, e := range t.Entries {
		doc.Data[i] = v.timelineEntry(t.Secret, e)
	}
	doc.Meta.Explanation = t.Explanation
	doc.Meta.Page.After, doc.Meta.Page.More = strconv.FormatUint(t.After, 10), t.More
	here := v.base.to("secrets", t.Secret, "timeline")
	doc.Links.Self = withQuery(here, query)
	if t.More {
		query.Set("page[after]", doc.Meta.Page.After)
		doc.Links.Next = withQuery(here, query)
	}
	return doc
}

func (v view) timelineEntry(secret string, e api.TimelineEntry) timelineEntry {
	resource := timelineEntry{
		ID: strconv.FormatUint(e.Sequence, 10), Type: "timeline_entries",
		Attributes: timelineAttributes{
			At: timestamp(e.At), Event: string(e.Event), EventID: e.ID,
			Action: e.Action, Reason: string(e.Reason), Detail: e.Detail, By: e.By,
			Generation: e.Generation, Attempts: e.Attempts,
			NextAttemptAt: known(e.NextAttemptAt), WorksUntil: known(e.WorksUntil),
		},
	}
	resource.Relationships.Secret.Data = identifier{secret, "secrets"}
	return resource
}

func withQuery(place string, query url.Values) string {
	if len(query) == 0 {
		return place
	}
	return place + "?" + query.Encode()
}

// timelineOfSecret lists what happened to a secret, oldest first. Of the query it
// takes page[size] and page[after], and refuses what it cannot make sense of (the
// profile says so, too): who asks again from a place must not get all of it.
func (d *door) timelineOfSecret(ctx context.Context, r *request) (reply, error) {
	asked, query := r.http.URL.Query(), url.Values{}
	size, sizeErr := counted(asked, "page[size]", defaultPageSize)
	after, afterErr := place(asked, "page[after]")
	if err := cmp.Or(afterErr, sizeErr); err != nil {
		return reply{}, err
	}
	size = min(maxPageSize, size)
	if asked.Has("page[size]") {
		query.Set("page[size]", strconv.Itoa(size))
	}
	if after > 0 {
		query.Set("page[after]", strconv.FormatUint(after, 10))
	}
	line, err := d.service.Timeline(ctx, r.caller, r.id, after, size)
	if err != nil {
		return reply{}, err
	}
	return found(r.view.timeline(line, query)), nil
}

// place reads the parameter that says behind which entry a part begins, 0 for the
// beginning. It returns a *parameterError.
func place(params url.Values, name string) (uint64, error) {
	text := last(params[name])
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &parameterError{name, "what meta.page.after of an answer was, or the id of an entry"}
	}
	return after, nil
}
