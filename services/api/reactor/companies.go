package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// company is the resource of contract A15.1.
type company = resource[companyAttributes, companyRelationships, companyLinks, companyMeta]

type companyAttributes struct {
	CreatedAt           timestamp `json:"created_at"`
	Name                string    `json:"name"`
	OrgID               string    `json:"org_id"`
	UpdatedAt           timestamp `json:"updated_at"`
	Token               string    `json:"token"`
	CJMEnabled          bool      `json:"cjm_enabled"`
	EdgeEnabled         bool      `json:"edge_enabled"`
	EdgeEventsAllotment *int      `json:"edge_events_allotment"`
	EdgeFanoutRatio     *int      `json:"edge_fanout_ratio"`
}

type companyRelationships struct {
	Properties related `json:"properties"`
}

type companyLinks struct {
	Self       string `json:"self"`
	Properties string `json:"properties"`
}

type companyMeta struct {
	Rights         []auth.Right   `json:"rights"`
	PlatformRights platformRights `json:"platform_rights"`
}

type platformRights struct {
	Web    []auth.Right `json:"web"`
	Mobile []auth.Right `json:"mobile"`
	Edge   []auth.Right `json:"edge"`
}

func (v view) company(c *api.Company) company {
	rights := v.rights.Among(auth.CompanyRights())
	return company{
		ID: c.ID, Type: "companies",
		Attributes: companyAttributes{
			CreatedAt:   timestamp(c.CreatedAt),
			Name:        c.Name,
			OrgID:       c.Org,
			UpdatedAt:   timestamp(c.UpdatedAt),
			Token:       c.Token,
			EdgeEnabled: true,
		},
		Relationships: companyRelationships{v.base.related("companies", c.ID, "properties")},
		Links:         companyLinks{v.base.to("companies", c.ID), v.base.to("companies", c.ID, "properties")},
		Meta:          &companyMeta{rights, platformRights{rights, rights, rights}},
	}
}

func filterableCompanies() fields[*api.Company] {
	return fields[*api.Company]{
		"created_at": moment(func(c *api.Company) time.Time { return c.CreatedAt }),
		"name":       text(func(c *api.Company) string { return c.Name }),
		"org_id":     text(func(c *api.Company) string { return c.Org }),
		"token":      text(func(c *api.Company) string { return c.Token }),
		"updated_at": moment(func(c *api.Company) time.Time { return c.UpdatedAt }),
	}
}

func (d *door) listCompanies(_ context.Context, r *request) (reply, error) {
	q := filterableCompanies().query(r.http.URL.Query())
	page := d.service.Companies(r.caller, q)
	if page.Total == 0 && q.Match == nil {
		return reply{}, errNoCompany
	}
	return listed(q, page, r.view.company), nil
}

func (d *door) getCompany(_ context.Context, r *request) (reply, error) {
	return d.companyReply(r, r.id)
}

func (d *door) getCompanyOfProperty(ctx context.Context, r *request) (reply, error) {
	p, err := d.service.Property(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.companyReply(r, p.Company)
}

func (d *door) companyReply(r *request, id string) (reply, error) {
	c, err := d.service.Company(r.caller, id)
	if err != nil {
		return reply{}, err
	}
	return found(single[company]{r.view.company(c)}), nil
}
