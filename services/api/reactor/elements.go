package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
)

// dataElement is the resource of contract A15.6.
type dataElement = resource[elementAttributes, elementRelationships, elementLinks, elementMeta]

type elementAttributes struct {
	CreatedAt       timestamp `json:"created_at"`
	UpdatedAt       timestamp `json:"updated_at"`
	DeletedAt       timestamp `json:"deleted_at"`
	Name            string    `json:"name"`
	Delegate        string    `json:"delegate_descriptor_id"`
	Settings        *string   `json:"settings"`
	CleanText       bool      `json:"clean_text"`
	DefaultValue    *string   `json:"default_value"`
	ForceLowerCase  bool      `json:"force_lower_case"`
	StorageDuration *string   `json:"storage_duration"`
	Enabled         bool      `json:"enabled"`
	Dirty           bool      `json:"dirty"`
	Published       bool      `json:"published"`
	PublishedAt     timestamp `json:"published_at"`
	RevisionNumber  int       `json:"revision_number"`
	ReviewStatus    string    `json:"review_status"`
}

type elementRelationships struct {
	Property  toOne   `json:"property"`
	Extension toOne   `json:"extension"`
	Origin    toOne   `json:"origin"`
	Libraries related `json:"libraries"`
	Revisions related `json:"revisions"`
	Notes     related `json:"notes"`
}

type elementLinks struct {
	Property  string `json:"property"`
	Extension string `json:"extension"`
	Origin    string `json:"origin"`
	Self      string `json:"self"`
}

// elementMeta is there when the data element is deleted: it still answers.
type elementMeta struct {
	DeletedAt timestamp `json:"deleted_at"`
}

func (v view) dataElement(e *api.DataElement) dataElement {
	below := func(name string) related { return v.base.related("data_elements", e.ID, name) }
	published := v.publishedAt(e.ID)
	shown := dataElement{
		ID: e.ID, Type: "data_elements",
		Attributes: elementAttributes{
			CreatedAt:       timestamp(e.CreatedAt),
			UpdatedAt:       timestamp(e.UpdatedAt),
			DeletedAt:       timestamp(e.DeletedAt),
			Name:            e.Name,
			Delegate:        e.Delegate,
			Settings:        unlessZero(e.Settings),
			CleanText:       e.CleanText,
			DefaultValue:    e.Default,
			ForceLowerCase:  e.ForceLowerCase,
			StorageDuration: unlessZero(e.Storage),
			Enabled:         !e.Disabled,
			Dirty:           e.Dirty(),
			Published:       !published.IsZero(),
			PublishedAt:     timestamp(published),
			RevisionNumber:  e.Revision,
			ReviewStatus:    unreviewed,
		},
		Relationships: elementRelationships{
			Property:  toOne{Links: below("property").Links, Data: &identifier{e.Property, "properties"}},
			Extension: toOne{Links: below("extension").Links, Data: &identifier{e.Extension(), "extensions"}},
			Origin:    toOne{Links: below("origin").Links, Data: &identifier{e.Origin, "data_elements"}},
			Libraries: below("libraries"),
			Revisions: below("revisions"),
			Notes:     below("notes"),
		},
		Links: elementLinks{
			Property:  v.base.to("properties", e.Property),
			Extension: v.base.to("extensions", e.Extension()),
			Origin:    v.base.to("data_elements", e.Origin),
			Self:      v.base.to("data_elements", e.ID),
		},
	}
	if !e.DeletedAt.IsZero() {
		shown.Meta = &elementMeta{timestamp(e.DeletedAt)}
	}
	return shown
}

func filterableElements(v view) fields[*api.DataElement] {
	return fields[*api.DataElement]{
		"created_at":      moment(func(e *api.DataElement) time.Time { return e.CreatedAt }),
		"dirty":           flag(func(e *api.DataElement) bool { return e.Dirty() }),
		"enabled":         flag(func(e *api.DataElement) bool { return !e.Disabled }),
		"name":            text(func(e *api.DataElement) string { return e.Name }),
		"origin_id":       text(func(e *api.DataElement) string { return e.Origin }),
		"published":       flag(func(e *api.DataElement) bool { return !v.publishedAt(e.ID).IsZero() }),
		"published_at":    moment(func(e *api.DataElement) time.Time { return v.publishedAt(e.ID) }),
		"revision_number": number(func(e *api.DataElement) int { return e.Revision }),
		"updated_at":      moment(func(e *api.DataElement) time.Time { return e.UpdatedAt }),
	}
}

func (d *door) listDataElementsOfProperty(ctx context.Context, r *request) (reply, error) {
	return elementsReply(ctx, r, d.service.DataElements)
}

func (d *door) listDataElementsOfSecret(ctx context.Context, r *request) (reply, error) {
	return elementsReply(ctx, r, d.service.DataElementsOfSecret)
}

func (d *door) listDataElementsOfLibrary(ctx context.Context, r *request) (reply, error) {
	return elementsReply(ctx, r, d.service.LinkedElements)
}

func (d *door) listRevisionsOfDataElement(ctx context.Context, r *request) (reply, error) {
	return elementsReply(ctx, r, d.service.Revisions)
}

// elementsReply answers with a page of one of the lists of data elements.
func elementsReply(ctx context.Context, r *request, ask func(context.Context, api.Caller, string, api.Query[*api.DataElement]) (api.Page[*api.DataElement], error)) (reply, error) {
	q := filterableElements(r.view).query(r.http.URL.Query())
	page, err := ask(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.dataElement), nil
}

func (d *door) createDataElement(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		e, err := d.service.CreateDataElement(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[dataElement]{r.view.dataElement(e)}).tagged(e.Tag()), nil
	})
}

// changeDataElement is a PATCH: an update, or the action revise, of which the answer
// is the revision.
func (d *door) changeDataElement(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		e, err := d.service.ChangeDataElement(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[dataElement]{r.view.dataElement(e)}).tagged(e.Tag()), nil
	})
}

func (d *door) deleteDataElement(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteDataElement(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}

func (d *door) getDataElement(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.DataElement(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[dataElement]{r.view.dataElement(e)}).tagged(e.Tag()), nil
}

func (d *door) getOriginOfDataElement(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.DataElement(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	r.id = e.Origin
	return d.getDataElement(ctx, r)
}

func (d *door) getExtensionOfDataElement(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.DataElement(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	r.id = e.Extension()
	return d.getExtension(ctx, r)
}

func (d *door) getPropertyOfDataElement(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.DataElement(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, e.Property)
}
