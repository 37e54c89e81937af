package reactor

import (
	"context"
	"errors"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// build is the resource of contract A15.7. There is no artefact to tell the URL of.
type build = resource[buildAttributes, buildRelationships, buildLinks, buildMeta]

type buildAttributes struct {
	CreatedAt timestamp     `json:"created_at"`
	UpdatedAt timestamp     `json:"updated_at"`
	Status    secret.Status `json:"status"`
	Token     string        `json:"token"`
}

type buildRelationships struct {
	Property    toOne `json:"property"`
	Environment toOne `json:"environment"`
	Library     toOne `json:"library"`
}

type buildLinks struct {
	Environment string `json:"environment"`
	Library     string `json:"library"`
	Self        string `json:"self"`
}

type buildMeta struct {
	Archive       bool       `json:"archive"`
	StatusDetails *errorsDoc `json:"status_details,omitempty"`
}

func (v view) build(b *api.Build) build {
	below := func(name string) relatedLinks { return v.base.related("builds", b.ID, name).Links }
	return build{
		ID: b.ID, Type: "builds",
		Attributes: buildAttributes{timestamp(b.CreatedAt), timestamp(b.UpdatedAt), b.Status, b.Token},
		Relationships: buildRelationships{
			Property:    toOne{Links: below("property"), Data: &identifier{b.Property, "properties"}},
			Environment: toOne{Links: below("environment"), Data: &identifier{b.Environment, "environments"}},
			Library:     toOne{Links: below("library"), Data: &identifier{b.Library, "libraries"}},
		},
		Links: buildLinks{below("environment").Related, below("library").Related, v.base.to("builds", b.ID)},
		Meta:  &buildMeta{b.Archive, faultsOfBuild(b)},
	}
}

// faultsOfBuild writes why a build has failed as delayed errors (contract A5.2).
func faultsOfBuild(b *api.Build) *errorsDoc {
	if len(b.Faults) == 0 {
		return nil
	}
	doc := &errorsDoc{Errors: make([]errorObject, len(b.Faults))}
	for i, f := range b.Faults {
		doc.Errors[i] = errorObject{
			ID: f.ID, Code: string(f.Code), Title: titleOf(string(f.Code)), Detail: f.Detail, Meta: errorMeta{RequestID: b.Request},
		}
	}
	return doc
}

func filterableBuilds() fields[*api.Build] {
	return fields[*api.Build]{
		"created_at": moment(func(b *api.Build) time.Time { return b.CreatedAt }),
		"status":     text(func(b *api.Build) secret.Status { return b.Status }),
		"token":      text(func(b *api.Build) string { return b.Token }),
		"updated_at": moment(func(b *api.Build) time.Time { return b.UpdatedAt }),
	}
}

// buildsReply answers with a page of one of the lists of builds.
func buildsReply(ask func(context.Context, api.Caller, string, api.Query[*api.Build]) (api.Page[*api.Build], error)) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		q := filterableBuilds().query(r.http.URL.Query())
		page, err := ask(ctx, r.caller, r.id, q)
		if err != nil {
			return reply{}, err
		}
		return listed(q, page, r.view.build), nil
	}
}

// createBuild begins a build; there is nothing to say about it, so a body is not
// read.
func (d *door) createBuild(ctx context.Context, r *request) (reply, error) {
	if err := r.may(auth.Develop, auth.Publish); err != nil {
		return reply{}, err
	}
	b, err := d.service.CreateBuild(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return created(single[build]{r.view.build(b)}), nil
}

func (d *door) changeBuild(ctx context.Context, r *request) (reply, error) {
	if err := r.may(auth.Develop, auth.Publish); err != nil {
		return reply{}, err
	}
	return r.withBody(func(data *api.Object) (reply, error) {
		b, err := d.service.ChangeBuild(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[build]{r.view.build(b)}), nil
	})
}

func (d *door) getBuild(ctx context.Context, r *request) (reply, error) {
	b, err := d.service.Build(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[build]{r.view.build(b)}), nil
}

func (d *door) getPropertyOfBuild(ctx context.Context, r *request) (reply, error) {
	b, err := d.service.Build(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, b.Property)
}

func (d *door) getLibraryOfBuild(ctx context.Context, r *request) (reply, error) {
	b, err := d.service.Build(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.libraryReply(ctx, r, b.Library)
}

// getEnvironmentOfBuild may say that there is none: the build outlives it.
func (d *door) getEnvironmentOfBuild(ctx context.Context, r *request) (reply, error) {
	b, err := d.service.Build(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	answer, err := d.environmentReply(ctx, r, b.Environment)
	if errors.Is(err, api.ErrNotFound) {
		return found(nothing{}), nil
	}
	return answer, err
}
