package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
)

// extension is the resource of an extension that is installed (contract A15.2).
type extension = resource[extensionAttributes, extensionRelationships, extensionLinks, struct{}]

type extensionAttributes struct {
	CreatedAt      timestamp `json:"created_at"`
	UpdatedAt      timestamp `json:"updated_at"`
	DeletedAt      timestamp `json:"deleted_at"`
	Name           string    `json:"name"`
	DisplayName    string    `json:"display_name"`
	Package        string    `json:"package"`
	Settings       string    `json:"settings"`
	Enabled        bool      `json:"enabled"`
	Dirty          bool      `json:"dirty"`
	Published      bool      `json:"published"`
	PublishedAt    timestamp `json:"published_at"`
	RevisionNumber int       `json:"revision_number"`
	ReviewStatus   string    `json:"review_status"`
}

type extensionRelationships struct {
	Property  toOne   `json:"property"`
	Origin    toOne   `json:"origin"`
	Revisions related `json:"revisions"`
	Libraries related `json:"libraries"`
	Notes     related `json:"notes"`
}

type extensionLinks struct {
	Property string `json:"property"`
	Origin   string `json:"origin"`
	Self     string `json:"self"`
}

// unreviewed is the review status of all there is: nobody reviews.
const unreviewed = "unreviewed"

func (v view) extension(e *api.Extension) extension {
	below := func(name string) related { return v.base.related("extensions", e.ID, name) }
	self := v.base.to("extensions", e.ID)
	return extension{
		ID: e.ID, Type: "extensions",
		Attributes: extensionAttributes{
			CreatedAt:    timestamp(e.CreatedAt),
			UpdatedAt:    timestamp(e.CreatedAt),
			Name:         api.ExtensionName,
			DisplayName:  "Core",
			Package:      e.Package,
			Settings:     "{}",
			Enabled:      true,
			Published:    !v.publishedAt(e.ID).IsZero(),
			PublishedAt:  timestamp(v.publishedAt(e.ID)),
			ReviewStatus: unreviewed,
		},
		Relationships: extensionRelationships{
			Property:  toOne{Links: below("property").Links, Data: &identifier{e.Property, "properties"}},
			Origin:    toOne{Links: below("origin").Links, Data: &identifier{e.ID, "extensions"}},
			Revisions: below("revisions"),
			Libraries: below("libraries"),
			Notes:     below("notes"),
		},
		Links: extensionLinks{v.base.to("properties", e.Property), self, self},
	}
}

func filterableExtensions() fields[*api.Extension] {
	created := moment(func(e *api.Extension) time.Time { return e.CreatedAt })
	return fields[*api.Extension]{
		"created_at":      created,
		"display_name":    text(func(*api.Extension) string { return "Core" }),
		"enabled":         flag(func(*api.Extension) bool { return true }),
		"name":            text(func(*api.Extension) string { return api.ExtensionName }),
		"origin_id":       text(func(e *api.Extension) string { return e.ID }),
		"revision_number": number(func(*api.Extension) int { return 0 }),
		"updated_at":      created,
	}
}

func (d *door) listExtensions(ctx context.Context, r *request) (reply, error) {
	q := filterableExtensions().query(r.http.URL.Query())
	page, err := d.service.Extensions(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.extension), nil
}

// listRevisionsOfExtension lists the extension itself: it never changes.
func (d *door) listRevisionsOfExtension(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Extension(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	r.id = e.Property
	return d.listExtensions(ctx, r)
}

func (d *door) listExtensionsOfLibrary(ctx context.Context, r *request) (reply, error) {
	l, err := d.service.Library(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	if !l.Extension {
		return empty(r), nil
	}
	r.id = l.Property
	return d.listExtensions(ctx, r)
}

func (d *door) createExtension(ctx context.Context, r *request) (reply, error) {
	return reply{}, d.service.CreateExtension(ctx, r.caller, r.id)
}

func (d *door) getExtension(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Extension(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[extension]{r.view.extension(e)}), nil
}

func (d *door) changeExtension(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		e, err := d.service.ChangeExtension(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[extension]{r.view.extension(e)}), nil
	})
}

func (d *door) getPropertyOfExtension(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Extension(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, e.Property)
}

func (d *door) listRulesOfProperty(ctx context.Context, r *request) (reply, error) {
	if _, err := d.service.Property(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return empty(r), nil
}

func (d *door) createRule(ctx context.Context, r *request) (reply, error) {
	return reply{}, d.service.CreateRule(ctx, r.caller, r.id)
}
