package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// note is the resource of contract A15.5.
type note = resource[noteAttributes, noteRelationships, noteLinks, none]

type noteAttributes struct {
	AuthorDisplayName string    `json:"author_display_name"`
	AuthorEmail       string    `json:"author_email"`
	CreatedAt         timestamp `json:"created_at"`
	Text              string    `json:"text"`
}

type noteRelationships struct {
	Resource toOne `json:"resource"`
}

type noteLinks struct {
	Resource string `json:"resource"`
	Self     string `json:"self"`
}

func (v view) note(n *api.Note) note {
	on := v.base.related(n.Type, n.Owner).Links
	return note{
		ID: n.ID, Type: "notes",
		Attributes:    noteAttributes{n.Author.DisplayName, n.Author.Email, timestamp(n.CreatedAt), n.Text},
		Relationships: noteRelationships{toOne{Links: on, Data: &identifier{n.Owner, n.Type}}},
		Links:         noteLinks{on.Related, v.base.to("notes", n.ID)},
	}
}

// filterableNotes says what notes can be filtered by. They do not change, so that
// updated_at is created_at (contract A4).
func filterableNotes() fields[*api.Note] {
	made := moment(func(n *api.Note) time.Time { return n.CreatedAt })
	return fields[*api.Note]{
		"created_at": made,
		"text":       text(func(n *api.Note) string { return n.Text }),
		"updated_at": made,
	}
}

// listNotes lists the notes on what has ids of the prefix.
func (d *door) listNotes(on secret.Prefix) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		if !secret.ValidID(on, r.id) {
			return reply{}, api.ErrNotFound
		}
		q := filterableNotes().query(r.http.URL.Query())
		page, err := d.service.Notes(ctx, r.caller, r.id, q)
		if err != nil {
			return reply{}, err
		}
		return listed(q, page, r.view.note), nil
	}
}

// createNote makes a note on what has ids of the prefix.
func (d *door) createNote(on secret.Prefix) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		if !secret.ValidID(on, r.id) {
			return reply{}, api.ErrNotFound
		}
		return r.withBody(func(data *api.Object) (reply, error) {
			n, err := d.service.CreateNote(ctx, r.caller, r.id, data)
			if err != nil {
				return reply{}, err
			}
			return created(single[note]{r.view.note(n)}), nil
		})
	}
}

func (d *door) getNote(ctx context.Context, r *request) (reply, error) {
	n, err := d.service.Note(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[note]{r.view.note(n)}), nil
}
