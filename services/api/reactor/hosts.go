package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// host is the resource of contract A15.4.
type host = resource[hostAttributes, hostRelationships, hostLinks, none]

// none is the meta of resources that never have one.
type none struct{}

type hostAttributes struct {
	CreatedAt timestamp     `json:"created_at"`
	Server    *string       `json:"server"`
	Name      string        `json:"name"`
	Path      *string       `json:"path"`
	Port      *int          `json:"port"`
	Status    secret.Status `json:"status"`
	TypeOf    api.HostType  `json:"type_of"`
	UpdatedAt timestamp     `json:"updated_at"`
	Username  *string       `json:"username"`
}

type hostRelationships struct {
	Property toOne `json:"property"`
}

type hostLinks struct {
	Property string `json:"property"`
	Self     string `json:"self"`
}

func (v view) host(h *api.Host) host {
	return host{
		ID: h.ID, Type: "hosts",
		Attributes: hostAttributes{
			CreatedAt: timestamp(h.CreatedAt),
			Server:    orNull(h.Server),
			Name:      h.Name,
			Path:      orNull(h.Path),
			Port:      orNull(h.Port),
			Status:    secret.Succeeded,
			TypeOf:    h.Type,
			UpdatedAt: timestamp(h.UpdatedAt),
			Username:  orNull(h.Username),
		},
		Relationships: hostRelationships{
			Property: toOne{Links: v.base.related("hosts", h.ID, "property").Links, Data: &identifier{h.Property, "properties"}},
		},
		Links: hostLinks{v.base.to("properties", h.Property), v.base.to("hosts", h.ID)},
	}
}

// orNull returns what stands for a value in a document: null for none.
func orNull[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// filterableHosts are an addition to the contract, which names none.
func filterableHosts() fields[*api.Host] {
	return fields[*api.Host]{
		"created_at": moment(func(h *api.Host) time.Time { return h.CreatedAt }),
		"name":       text(func(h *api.Host) string { return h.Name }),
		"type_of":    text(func(h *api.Host) api.HostType { return h.Type }),
		"updated_at": moment(func(h *api.Host) time.Time { return h.UpdatedAt }),
	}
}

func (d *door) listHosts(ctx context.Context, r *request) (reply, error) {
	q := filterableHosts().query(r.http.URL.Query())
	page, err := d.service.Hosts(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.host), nil
}

func (d *door) createHost(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		h, err := d.service.CreateHost(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[host]{r.view.host(h)}).tagged(h.Tag()), nil
	})
}

func (d *door) getHost(ctx context.Context, r *request) (reply, error) {
	return d.hostReply(ctx, r, r.id)
}

func (d *door) getHostOfEnvironment(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Environment(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.hostReply(ctx, r, e.Host)
}

func (d *door) hostReply(ctx context.Context, r *request, id string) (reply, error) {
	h, err := d.service.Host(ctx, r.caller, id)
	if err != nil {
		return reply{}, err
	}
	return found(single[host]{r.view.host(h)}).tagged(h.Tag()), nil
}

func (d *door) getPropertyOfHost(ctx context.Context, r *request) (reply, error) {
	h, err := d.service.Host(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, h.Property)
}

func (d *door) changeHost(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		h, err := d.service.ChangeHost(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[host]{r.view.host(h)}).tagged(h.Tag()), nil
	})
}

func (d *door) deleteHost(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteHost(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}
