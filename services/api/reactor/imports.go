package reactor

import (
	"context"

	"github.com/rekindle-dev/rekindle/services/api"
)

// Imports are an addition to the contract: a create that can be repeated, for what
// moves here from another system. They have a path of their own, so that a server
// that does not know them makes nothing by mistake.

// importResource is what an import came to.
type importResource struct {
	// ID is the secret's; absent if there is none.
	ID         string           `json:"id,omitempty"`
	Type       string           `json:"type"`
	Attributes importAttributes `json:"attributes"`
}

type importAttributes struct {
	Result api.ImportResult `json:"result"`
	// ExchangeAt is when the secret is exchanged next, null when that is not known.
	ExchangeAt timestamp `json:"exchange_at"`
	// ElsewhereSince is there while another system keeps it fresh.
	ElsewhereSince *timestamp `json:"elsewhere_since,omitempty"`
}

func (d *door) importSecret(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		done, err := d.service.ImportSecret(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		resource := importResource{Type: "imports", Attributes: importAttributes{Result: done.Result}}
		if s := done.Secret; s != nil {
			resource.ID = s.ID
			resource.Attributes.ExchangeAt = timestamp(s.Plan().At)
			resource.Attributes.ElsewhereSince = known(s.Elsewhere)
		}
		if done.Result == api.ImportCreated {
			return created(single[importResource]{resource}), nil
		}
		return found(single[importResource]{resource}), nil
	})
}
