package exchanger

import (
	"context"
	"fmt"
)

// adopt makes a consent that was imported the one in use, from the claim on that is
// about to be made: the refresh token that came with it is then one like any other,
// and is sent, lost and replaced by the same rules. The api can seal it and not put
// it into the grant, which exchangers alone write.
func (c *claim) adopt(ctx context.Context) error {
	a := c.secret.Authorization
	if a == nil || a.Imported == 0 || c.grant.Consent != nil && c.grant.Consent.Generation >= a.Imported {
		return nil
	}
	consent, err := c.x.vault.Consent(ctx, c.secret.ID)
	if err != nil {
		return fmt.Errorf("consent: %w", err)
	}
	if consent.Imported == nil || consent.Imported.Generation != a.Imported {
		return fmt.Errorf("consent: %w", errBehind)
	}
	next := *c.grant
	next.Consent = consent.Imported
	next.Lost = stillLost(&next)
	c.grant = &next
	return nil
}
