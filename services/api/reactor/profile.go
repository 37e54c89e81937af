package reactor

import (
	"context"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// user is the resource of contract A15.8.
type user = resource[userAttributes, struct{}, userLinks, userMeta]

type userAttributes struct {
	ActiveOrg   string `json:"active_org"`
	DisplayName string `json:"display_name"`
	Email       string `json:"email"`
}

type userLinks struct {
	Self string `json:"self"`
}

// userMeta is an addition to the contract.
type userMeta struct {
	Rights auth.Rights `json:"rights"`
}

// getProfile tells who asks.
func (d *door) getProfile(_ context.Context, r *request) (reply, error) {
	by := r.caller.Actor
	return found(single[user]{user{
		ID: api.UserID(r.caller), Type: "users",
		Attributes: userAttributes{r.caller.Org, by.DisplayName, by.Email},
		Links:      userLinks{r.view.base.to("profile")},
		Meta:       &userMeta{r.view.rights.Among(auth.AllRights())},
	}}), nil
}
