package reactor

import (
	"context"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// linked is a relationship with many resources, on its own.
type linked struct {
	Data  []identifier `json:"data"`
	Links relatedLinks `json:"links"`
}

// libraryRoutes is the part of the API that is about what is made of secrets.
func (d *door) libraryRoutes() []route {
	return append([]route{
		{"GET /properties/{id}/extensions", "", d.listExtensions},
		{"POST /properties/{id}/extensions", auth.ManageExtensions, d.createExtension},
		{"GET /extensions/{id}", "", d.getExtension},
		{"PATCH /extensions/{id}", auth.ManageExtensions, d.changeExtension},
		{"GET /extensions/{id}/property", "", d.getPropertyOfExtension},
		{"GET /extensions/{id}/origin", "", d.getExtension}, // which is its own
		{"GET /extensions/{id}/revisions", "", d.listRevisionsOfExtension},
		{"GET /extensions/{id}/libraries", "", librariesReply(d.service.LibrariesOfExtension)},
		{"GET /extensions/{id}/notes", "", d.listNotes(secret.PrefixExtension)},
		{"POST /extensions/{id}/notes", auth.Develop, d.createNote(secret.PrefixExtension)},
		{"GET /properties/{id}/rules", "", d.listRulesOfProperty},
		{"POST /properties/{id}/rules", auth.Develop, d.createRule},

		{"GET /properties/{id}/data_elements", "", d.listDataElementsOfProperty},
		{"POST /properties/{id}/data_elements", auth.Develop, d.createDataElement},
		{"GET /data_elements/{id}", "", d.getDataElement},
		{"PATCH /data_elements/{id}", auth.Develop, d.changeDataElement},
		{"DELETE /data_elements/{id}", auth.Develop, d.deleteDataElement},
		{"GET /data_elements/{id}/property", "", d.getPropertyOfDataElement},
		{"GET /data_elements/{id}/extension", "", d.getExtensionOfDataElement},
		{"GET /data_elements/{id}/origin", "", d.getOriginOfDataElement},
		{"GET /data_elements/{id}/revisions", "", d.listRevisionsOfDataElement},
		{"GET /data_elements/{id}/libraries", "", librariesReply(d.service.LibrariesOfDataElement)},
		{"GET /data_elements/{id}/notes", "", d.listNotes(secret.PrefixDataElement)},
		{"POST /data_elements/{id}/notes", auth.Develop, d.createNote(secret.PrefixDataElement)},

		{"GET /properties/{id}/libraries", "", librariesReply(d.service.Libraries)},
		{"POST /properties/{id}/libraries", auth.Develop, d.createLibrary},
		{"GET /libraries/{id}", "", d.getLibrary},
		{"PATCH /libraries/{id}", itself, d.changeLibrary},
		{"DELETE /libraries/{id}", auth.Develop, d.deleteLibrary},
		{"GET /libraries/{id}/property", "", d.getPropertyOfLibrary},
		{"GET /libraries/{id}/environment", "", d.getEnvironmentOfLibrary},
		{"GET /libraries/{id}/upstream_library", "", d.getUpstreamLibrary},
		{"GET /libraries/{id}/builds", "", buildsReply(d.service.BuildsOfLibrary)},
		{"POST /libraries/{id}/builds", itself, d.createBuild},
		{"GET /libraries/{id}/data_elements", "", d.listDataElementsOfLibrary},
		{"GET /libraries/{id}/extensions", "", d.listExtensionsOfLibrary},
		{"GET /libraries/{id}/rules", "", d.listRulesOfLibrary},
		{"GET /libraries/{id}/notes", "", d.listNotes(secret.PrefixLibrary)},
		{"POST /libraries/{id}/notes", auth.Develop, d.createNote(secret.PrefixLibrary)},
		{"GET /libraries/{id}/relationships/environment", "", d.getPlace},
		{"PATCH /libraries/{id}/relationships/environment", auth.Develop, d.setPlace},
		{"DELETE /libraries/{id}/relationships/environment", auth.Develop, d.clearPlace},

		{"GET /builds/{id}", "", d.getBuild},
		{"PATCH /builds/{id}", itself, d.changeBuild},
		{"GET /builds/{id}/property", "", d.getPropertyOfBuild},
		{"GET /builds/{id}/environment", "", d.getEnvironmentOfBuild},
		{"GET /builds/{id}/library", "", d.getLibraryOfBuild},
	}, d.linkages()...)
}

// linking changes which resources are in a library.
type linking func(context.Context, api.Caller, string, api.Linking, *api.Linkage) (*api.Library, error)

// linkages are the routes of the relationships of libraries that have many.
func (d *door) linkages() (all []route) {
	for _, many := range []struct {
		name   string
		change linking
	}{
		{"data_elements", d.service.LinkElements},
		{"extensions", d.service.LinkExtension},
		{"rules", d.service.LinkRules},
	} {
		path := " /libraries/{id}/relationships/" + many.name
		all = append(all,
			route{"GET" + path, "", d.listLinked(many.name)},
			route{"POST" + path, auth.Develop, relink(many.name, many.change, api.Link)},
			route{"PATCH" + path, auth.Develop, relink(many.name, many.change, api.Replace)},
			route{"DELETE" + path, auth.Develop, relink(many.name, many.change, api.Unlink)})
	}
	return all
}

func (v view) linked(l *api.Library, name string) linked {
	shown := linked{Data: []identifier{}, Links: v.linkage(l.ID, name)}
	switch {
	case name == "data_elements":
		for _, held := range l.Elements {
			shown.Data = append(shown.Data, identifier{held.ID, name})
		}
	case name == "extensions" && l.Extension:
		shown.Data = append(shown.Data, identifier{l.OwnExtension(), name})
	}
	return shown
}

func (d *door) listLinked(name string) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		l, err := d.service.Library(ctx, r.caller, r.id)
		if err != nil {
			return reply{}, err
		}
		return found(r.view.linked(l, name)).tagged(l.Tag()), nil
	}
}

// relink answers with the resources that the library has now (contract A15.7).
func relink(name string, change linking, how api.Linking) endpoint {
	return func(ctx context.Context, r *request) (reply, error) {
		body, err := r.body()
		if err != nil {
			return reply{}, err
		}
		named, err := api.ReadLinkage(body, name)
		if err != nil {
			return reply{}, err
		}
		l, err := change(ctx, r.caller, r.id, how, named)
		if err != nil {
			return reply{}, err
		}
		return found(r.view.linked(l, name)).tagged(l.Tag()), nil
	}
}

func (d *door) getPlace(ctx context.Context, r *request) (reply, error) {
	l, err := d.service.Library(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return r.place(l), nil
}

func (d *door) setPlace(ctx context.Context, r *request) (reply, error) {
	body, err := r.body()
	if err != nil {
		return reply{}, err
	}
	environment, err := api.ReadTarget(body, "environments")
	if err != nil {
		return reply{}, err
	}
	return d.placeReply(ctx, r, environment)
}

// clearPlace takes the library out of the environment it is in. Which one that is,
// clients say in a body that tells nothing new.
func (d *door) clearPlace(ctx context.Context, r *request) (reply, error) {
	return d.placeReply(ctx, r, "")
}

func (d *door) placeReply(ctx context.Context, r *request, environment string) (reply, error) {
	l, err := d.service.PlaceLibrary(ctx, r.caller, r.id, environment)
	if err != nil {
		return reply{}, err
	}
	return r.place(l), nil
}

func (r *request) place(l *api.Library) reply {
	return found(linkage{name("environments", l.Environment), r.view.linkage(l.ID, "environment")}).tagged(l.Tag())
}
