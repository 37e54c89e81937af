package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// library is the resource of contract A15.7.
type library = resource[libraryAttributes, libraryRelationships, libraryLinks, struct{}]

type libraryAttributes struct {
	CreatedAt   timestamp        `json:"created_at"`
	UpdatedAt   timestamp        `json:"updated_at"`
	Name        string           `json:"name"`
	State       api.LibraryState `json:"state"`
	PublishedAt timestamp        `json:"published_at"`
}

type libraryRelationships struct {
	Property     toOne   `json:"property"`
	Environment  toOne   `json:"environment"`
	Upstream     toOne   `json:"upstream_library"`
	Builds       related `json:"builds"`
	DataElements related `json:"data_elements"`
	Extensions   related `json:"extensions"`
	Rules        related `json:"rules"`
	Notes        related `json:"notes"`
}

type libraryLinks struct {
	Property string `json:"property"`
	Self     string `json:"self"`
}

func (v view) library(l *api.Library) library {
	return library{
		ID: l.ID, Type: "libraries",
		Attributes: libraryAttributes{
			CreatedAt:   timestamp(l.CreatedAt),
			UpdatedAt:   timestamp(l.UpdatedAt),
			Name:        l.Name,
			State:       l.State,
			PublishedAt: timestamp(l.PublishedAt),
		},
		Relationships: libraryRelationships{
			Property:     toOne{Links: v.base.related("libraries", l.ID, "property").Links, Data: &identifier{l.Property, "properties"}},
			Environment:  toOne{Links: v.linkage(l.ID, "environment"), Data: name("environments", l.Environment)},
			Upstream:     toOne{Links: v.base.related("libraries", l.ID, "upstream_library").Links},
			Builds:       v.base.related("libraries", l.ID, "builds"),
			DataElements: related{v.linkage(l.ID, "data_elements")},
			Extensions:   related{v.linkage(l.ID, "extensions")},
			Rules:        related{v.linkage(l.ID, "rules")},
			Notes:        v.base.related("libraries", l.ID, "notes"),
		},
		Links: libraryLinks{v.base.to("properties", l.Property), v.base.to("libraries", l.ID)},
	}
}

// linkage is where a relationship of a library leads, and where it is itself.
func (v view) linkage(library, name string) relatedLinks {
	return relatedLinks{
		Related: v.base.to("libraries", library, name),
		Self:    v.base.to("libraries", library, "relationships", name),
	}
}

func filterableLibraries() fields[*api.Library] {
	return fields[*api.Library]{
		"created_at":   moment(func(l *api.Library) time.Time { return l.CreatedAt }),
		"name":         text(func(l *api.Library) string { return l.Name }),
		"published_at": moment(func(l *api.Library) time.Time { return l.PublishedAt }),
		"state":        text(func(l *api.Library) api.LibraryState { return l.State }),
		"updated_at":   moment(func(l *api.Library) time.Time { return l.UpdatedAt }),
	}
}

// librariesReply answers with a page of one of the lists of libraries.
func librariesReply(ask func(context.Context, api.Caller, string, api.Query[*api.Library]) (api.Page[*api.Library], error)) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		q := filterableLibraries().query(r.http.URL.Query())
		page, err := ask(ctx, r.caller, r.id, q)
		if err != nil {
			return reply{}, err
		}
		return listed(q, page, r.view.library), nil
	}
}

func (d *door) createLibrary(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		l, err := d.service.CreateLibrary(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[library]{r.view.library(l)}).tagged(l.Tag()), nil
	})
}

// changeLibrary is a PATCH: a new name, or an action, some of which take the right
// to approve.
func (d *door) changeLibrary(ctx context.Context, r *request) (reply, error) {
	if err := r.may(auth.Develop, auth.Approve); err != nil {
		return reply{}, err
	}
	return r.withBody(func(data *api.Object) (reply, error) {
		l, err := d.service.ChangeLibrary(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[library]{r.view.library(l)}).tagged(l.Tag()), nil
	})
}

func (d *door) deleteLibrary(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteLibrary(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}

func (d *door) getLibrary(ctx context.Context, r *request) (reply, error) {
	return d.libraryReply(ctx, r, r.id)
}

func (d *door) libraryReply(ctx context.Context, r *request, id string) (reply, error) {
	l, err := d.service.Library(ctx, r.caller, id)
	if err != nil {
		return reply{}, err
	}
	return found(single[library]{r.view.library(l)}).tagged(l.Tag()), nil
}

// getLibraryOfEnvironment may say that there is none (contract A15.3).
func (d *door) getLibraryOfEnvironment(ctx context.Context, r *request) (reply, error) {
	if _, err := d.service.Environment(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	held := d.service.LibraryIn(r.id)
	if held == "" {
		return found(nothing{}), nil
	}
	return d.libraryReply(ctx, r, held)
}

func (d *door) getPropertyOfLibrary(ctx context.Context, r *request) (reply, error) {
	l, err := d.service.Library(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, l.Property)
}

func (d *door) getEnvironmentOfLibrary(ctx context.Context, r *request) (reply, error) {
	l, err := d.service.Library(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	if l.Environment == "" {
		return found(nothing{}), nil
	}
	return d.environmentReply(ctx, r, l.Environment)
}

// getUpstreamLibrary says that there is none: a library here stands by itself.
func (d *door) getUpstreamLibrary(ctx context.Context, r *request) (reply, error) {
	if _, err := d.service.Library(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return found(nothing{}), nil
}

func (d *door) listRulesOfLibrary(ctx context.Context, r *request) (reply, error) {
	if _, err := d.service.Library(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return empty(r), nil
}
