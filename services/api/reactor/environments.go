package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// environment is the resource of contract A15.3.
type environment = resource[environmentAttributes, environmentRelationships, environmentLinks, environmentMeta]

type environmentAttributes struct {
	Archive            bool          `json:"archive"`
	CreatedAt          timestamp     `json:"created_at"`
	LibraryPath        string        `json:"library_path"`
	LibraryName        string        `json:"library_name"`
	LibraryEntryPoints []entryPoint  `json:"library_entry_points"`
	Name               string        `json:"name"`
	Path               *string       `json:"path"`
	Stage              api.Stage     `json:"stage"`
	UpdatedAt          timestamp     `json:"updated_at"`
	Status             secret.Status `json:"status"`
	Token              string        `json:"token"`
	// DebugLibrary is not there until somebody has set it.
	DebugLibrary *bool `json:"include_debug_library,omitempty"`
}

type entryPoint struct {
	LibraryName string   `json:"library_name"`
	Minified    bool     `json:"minified"`
	References  []string `json:"references"`
	LicensePath string   `json:"license_path,omitempty"`
}

type environmentRelationships struct {
	Library  toOne   `json:"library"`
	Builds   related `json:"builds"`
	Host     toOne   `json:"host"`
	Property toOne   `json:"property"`
}

type environmentLinks struct {
	Property string `json:"property"`
	Self     string `json:"self"`
}

type environmentMeta struct {
	ArchiveEncrypted bool `json:"archive_encrypted"`
}

func (v view) environment(e *api.Environment) environment {
	file := libraryName(e)
	below := func(name string) relatedLinks { return v.base.related("environments", e.ID, name).Links }
	return environment{
		ID: e.ID, Type: "environments",
		Attributes: environmentAttributes{
			Archive:            e.Archive,
			CreatedAt:          timestamp(e.CreatedAt),
			LibraryPath:        e.LibraryPath,
			LibraryName:        file + ".min.js",
			LibraryEntryPoints: entryPoints(e.LibraryPath, file),
			Name:               e.Name,
			Path:               orNull(e.Path),
			Stage:              e.Stage,
			UpdatedAt:          timestamp(e.UpdatedAt),
			Status:             secret.Succeeded,
			Token:              e.Token,
			DebugLibrary:       e.DebugLibrary,
		},
		Relationships: environmentRelationships{
			Library:  toOne{Links: below("library"), Data: name("libraries", v.libraryIn(e.ID))},
			Builds:   related{below("builds")},
			Host:     toOne{Links: v.hostLinks(e), Data: &identifier{e.Host, "hosts"}},
			Property: toOne{Links: below("property"), Data: &identifier{e.Property, "properties"}},
		},
		Links: environmentLinks{v.base.to("properties", e.Property), v.base.to("environments", e.ID)},
		Meta:  &environmentMeta{e.Encrypted()},
	}
}

// libraryName is the name of an environment's library without its ending. In
// production it does not tell the stage.
func libraryName(e *api.Environment) string {
	name := "launch-" + e.Token
	if e.Stage != api.Production {
		name += "-" + string(e.Stage)
	}
	return name
}

func entryPoints(path, name string) []entryPoint {
	minified, plain := name+".min.js", name+".js"
	return []entryPoint{
		{LibraryName: minified, Minified: true, References: []string{path + "/" + minified}, LicensePath: path + "/" + plain},
		{LibraryName: plain, References: []string{path + "/" + plain}},
	}
}

func (v view) hostLinks(e *api.Environment) relatedLinks {
	return relatedLinks{
		Related: v.base.to("environments", e.ID, "host"),
		Self:    v.base.to("environments", e.ID, "relationships", "host"),
	}
}

func filterableEnvironments() fields[*api.Environment] {
	return fields[*api.Environment]{
		"archive":    flag(func(e *api.Environment) bool { return e.Archive }),
		"created_at": moment(func(e *api.Environment) time.Time { return e.CreatedAt }),
		"name":       text(func(e *api.Environment) string { return e.Name }),
		"stage":      text(func(e *api.Environment) api.Stage { return e.Stage }),
		"token":      text(func(e *api.Environment) string { return e.Token }),
		"updated_at": moment(func(e *api.Environment) time.Time { return e.UpdatedAt }),
	}
}

func (d *door) listEnvironments(ctx context.Context, r *request) (reply, error) {
	q := filterableEnvironments().query(r.http.URL.Query())
	page, err := d.service.Environments(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.environment), nil
}

func (d *door) createEnvironment(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		e, err := d.service.CreateEnvironment(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[environment]{r.view.environment(e)}).tagged(e.Tag()), nil
	})
}

func (d *door) changeEnvironment(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		e, err := d.service.ChangeEnvironment(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[environment]{r.view.environment(e)}).tagged(e.Tag()), nil
	})
}

func (d *door) getEnvironment(ctx context.Context, r *request) (reply, error) {
	return d.environmentReply(ctx, r, r.id)
}

func (d *door) getEnvironmentOfSecret(ctx context.Context, r *request) (reply, error) {
	s, err := d.service.Secret(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	if s.Environment == "" {
		return found(nothing{}), nil
	}
	return d.environmentReply(ctx, r, s.Environment)
}

func (d *door) environmentReply(ctx context.Context, r *request, id string) (reply, error) {
	e, err := d.service.Environment(ctx, r.caller, id)
	if err != nil {
		return reply{}, err
	}
	return found(single[environment]{r.view.environment(e)}).tagged(e.Tag()), nil
}

// linkage is a relationship on its own: without attributes (contract A15.3).
type linkage struct {
	Data  *identifier  `json:"data"`
	Links relatedLinks `json:"links"`
}

func (d *door) linkHostOfEnvironment(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Environment(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(linkage{&identifier{e.Host, "hosts"}, r.view.hostLinks(e)}), nil
}

func (d *door) deleteEnvironment(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteEnvironment(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}
