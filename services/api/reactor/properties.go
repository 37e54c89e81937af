package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// property is the resource of contract A15.2.
type property = resource[propertyAttributes, propertyRelationships, propertyLinks, propertyMeta]

type propertyAttributes struct {
	CreatedAt   timestamp    `json:"created_at"`
	Enabled     bool         `json:"enabled"`
	Name        string       `json:"name"`
	UpdatedAt   timestamp    `json:"updated_at"`
	Platform    api.Platform `json:"platform"`
	Development bool         `json:"development"`
	Token       string       `json:"token"`
	Domains     []string     `json:"domains,omitempty"`
	Privacy     string       `json:"privacy,omitempty"`
	// Those that nobody has set are not there: the documented properties have none.
	RuleComponentSequencing  *bool `json:"rule_component_sequencing_enabled,omitempty"`
	SSL                      *bool `json:"ssl_enabled,omitempty"`
	UndefinedVarsReturnEmpty *bool `json:"undefined_vars_return_empty,omitempty"`
}

type propertyRelationships struct {
	Company      toOne   `json:"company"`
	Callbacks    related `json:"callbacks"`
	Hosts        related `json:"hosts"`
	Environments related `json:"environments"`
	Libraries    related `json:"libraries"`
	DataElements related `json:"data_elements"`
	Extensions   related `json:"extensions"`
	Rules        related `json:"rules"`
	Notes        related `json:"notes"`
	Secrets      related `json:"secrets"`
}

type propertyLinks struct {
	Company      string `json:"company"`
	DataElements string `json:"data_elements"`
	Environments string `json:"environments"`
	Extensions   string `json:"extensions"`
	Rules        string `json:"rules"`
	Self         string `json:"self"`
}

type propertyMeta struct {
	Rights []auth.Right `json:"rights"`
}

func (v view) property(p *api.Property) property {
	below := func(name string) related { return v.base.related("properties", p.ID, name) }
	return property{
		ID: p.ID, Type: "properties",
		Attributes: propertyAttributes{
			CreatedAt:   timestamp(p.CreatedAt),
			Enabled:     true,
			Name:        p.Name,
			UpdatedAt:   timestamp(p.UpdatedAt),
			Platform:    p.Platform,
			Development: p.Development,
			Token:       p.Token,
			Domains:     p.Domains,
			Privacy:     p.Privacy,

			RuleComponentSequencing:  p.RuleComponentSequencing,
			SSL:                      p.SSL,
			UndefinedVarsReturnEmpty: p.UndefinedVarsReturnEmpty,
		},
		Relationships: propertyRelationships{
			Company:      toOne{Links: below("company").Links, Data: &identifier{p.Company, "companies"}},
			Callbacks:    below("callbacks"),
			Hosts:        below("hosts"),
			Environments: below("environments"),
			Libraries:    below("libraries"),
			DataElements: below("data_elements"),
			Extensions:   below("extensions"),
			Rules:        below("rules"),
			Notes:        below("notes"),
			Secrets:      below("secrets"),
		},
		Links: propertyLinks{
			Company:      v.base.to("companies", p.Company),
			DataElements: below("data_elements").Links.Related,
			Environments: below("environments").Links.Related,
			Extensions:   below("extensions").Links.Related,
			Rules:        below("rules").Links.Related,
			Self:         v.base.to("properties", p.ID),
		},
		Meta: &propertyMeta{v.rights.Among(auth.PropertyRights())},
	}
}

func filterableProperties() fields[*api.Property] {
	return fields[*api.Property]{
		"copying":    flag(func(*api.Property) bool { return false }),
		"created_at": moment(func(p *api.Property) time.Time { return p.CreatedAt }),
		"enabled":    flag(func(*api.Property) bool { return true }),
		"name":       text(func(p *api.Property) string { return p.Name }),
		"platform":   text(func(p *api.Property) api.Platform { return p.Platform }),
		"token":      text(func(p *api.Property) string { return p.Token }),
		"updated_at": moment(func(p *api.Property) time.Time { return p.UpdatedAt }),
	}
}

func (d *door) listProperties(_ context.Context, r *request) (reply, error) {
	q := filterableProperties().query(r.http.URL.Query())
	page, err := d.service.Properties(r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.property), nil
}

func (d *door) createProperty(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		p, err := d.service.CreateProperty(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[property]{r.view.property(p)}).tagged(p.Tag()), nil
	})
}

func (d *door) changeProperty(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		p, err := d.service.ChangeProperty(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[property]{r.view.property(p)}).tagged(p.Tag()), nil
	})
}

func (d *door) getProperty(ctx context.Context, r *request) (reply, error) {
	return d.propertyReply(ctx, r, r.id)
}

func (d *door) getPropertyOfEnvironment(ctx context.Context, r *request) (reply, error) {
	e, err := d.service.Environment(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, e.Property)
}

func (d *door) getPropertyOfSecret(ctx context.Context, r *request) (reply, error) {
	s, err := d.service.Secret(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, s.Property)
}

func (d *door) propertyReply(ctx context.Context, r *request, id string) (reply, error) {
	p, err := d.service.Property(ctx, r.caller, id)
	if err != nil {
		return reply{}, err
	}
	return found(single[property]{r.view.property(p)}).tagged(p.Tag()), nil
}

func (d *door) deleteProperty(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteProperty(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}
