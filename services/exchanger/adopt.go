package exchanger

import (
	"context"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// adopt puts a consent that was imported into the grant that is written next. Its
// refresh token may serve for years, so it is sealed as exchangers seal; one that does
// not open stays as it is, and the exchange says so.
func (c *claim) adopt(ctx context.Context) error {
	ours, err := adopted(ctx, c.x.vault, c.secret, c.grant)
	if err != nil || ours == c.grant {
		return err
	}
	c.grant = ours
	use := ours.Consent
	same := seal.Binding{Secret: c.secret.ID, Field: fieldRefreshToken, Generation: use.Generation}
	sealed, err := c.x.reseal(same, same, use.Sealed)
	if err == nil {
		use.Sealed = sealed
	}
	return nil
}

// adopted is the grant with a consent that was imported as the one in use, from the
// claim on that is about to be made: the refresh token that came with it is then one
// like any other, and is sent, lost and replaced by the same rules. The api can seal it
// and not put it into the grant, which exchangers alone write.
func adopted(ctx context.Context, v secret.Vault, s *secret.Secret, g *secret.Grant) (*secret.Grant, error) {
	a := s.Authorization
	if a == nil || a.Imported == 0 || g.Consent != nil && g.Consent.Generation >= a.Imported {
		return g, nil
	}
	consent, err := v.Consent(ctx, s.ID)
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	if consent.Imported == nil || consent.Imported.Generation != a.Imported {
		return nil, fmt.Errorf("consent: %w", errBehind)
	}
	next := *g
	next.Consent = consent.Imported
	next.Lost = stillLost(&next)
	return &next, nil
}
