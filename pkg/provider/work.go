package provider

import "time"

// atlassian is Atlassian Cloud, OAuth 2.0 (3LO). Source, unless said otherwise:
// developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps.
func atlassian() Descriptor {
	return Descriptor{
		Name: "atlassian", Label: "Atlassian", Docs: "https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/",
		Notes:           "A refresh also ends the access token before, after the same 10 minutes. Unverified: support of PKCE, which is not documented, and the error of a dead refresh token.",
		AuthorizeURL:    "https://auth.atlassian.com/authorize",
		TokenURL:        "https://auth.atlassian.com/oauth/token",
		AuthStyle:       AuthParams,
		RequestFormat:   FormatJSON,
		AuthorizeParams: map[string]string{"audience": "api.atlassian.com", "prompt": "consent"},
		Scopes:          Scopes{Default: []string{"read:me"}, Always: []string{"offline_access"}},
		Refresh: Refresh{
			// community.developer.atlassian.com/t/83103, "The old access token
			// will be revoked".
			Rotates: true, Grace: 10 * time.Minute, GraceGenerations: 1,
			// community.developer.atlassian.com/t/60806: 90 days without use,
			// 365 in all.
			Life: 90 * day, Slides: true,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{ReauthorizeAfter: 365 * day, WarnMonths: 3, Reminders: reminders()},
		Subject: Subject{From: PlaceUserinfo, Field: "account_id", URL: "https://api.atlassian.com/me"},
		Errors: []ErrorRule{
			// With status 403 and an error that elsewhere is about the app.
			{Field: "error_description", Value: "refresh_token is invalid", Meaning: NeedsHuman, Hint: "The grant has ended or was revoked: authorize again."},
		},
	}
}

// dropbox is Dropbox. Source: dropbox.tech/developers/using-oauth-2-0-with-offline-access.
func dropbox() Descriptor {
	return Descriptor{
		Name: "dropbox", Label: "Dropbox", Docs: "https://developers.dropbox.com/oauth-guide",
		Notes:           "The answer to a refresh has no account_id. Refresh tokens do not end by themselves.",
		AuthorizeURL:    "https://www.dropbox.com/oauth2/authorize",
		TokenURL:        "https://api.dropboxapi.com/oauth2/token",
		AuthStyle:       AuthParams,
		PKCE:            S256,
		AuthorizeParams: map[string]string{"token_access_type": "offline"},
		Scopes:          Scopes{Default: []string{"account_info.read"}},
		Answer:          Answer{Keep: []string{"account_id"}},
		Refresh:         Refresh{Offset: time.Hour}, // of 4
		Consent:         Consent{Reminders: reminders()},
		Subject:         Subject{From: PlaceAnswer, Field: "account_id"},
	}
}

// gitHub is a GitHub App acting for people. Source, unless said otherwise:
// docs.github.com, "refreshing user access tokens".
func gitHub() Descriptor {
	return Descriptor{
		Name: "github", Label: "GitHub App", Docs: "https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens",
		Notes: "A refresh ends the access token before, at once. An app that opted out of expiring tokens gets neither lifetime nor refresh token. " +
			"The app's permissions take the place of scopes. For GitHub Enterprise Server override the endpoints.",
		AuthorizeURL: "https://github.com/login/oauth/authorize",
		TokenURL:     "https://github.com/login/oauth/access_token",
		AuthStyle:    AuthParams,
		PKCE:         S256, // github.blog/changelog/2025-07-14-pkce-support-for-oauth-and-github-app-authentication
		Expiry:       Expiry{Endless: true},
		Refresh: Refresh{
			Issued:  IssuedSometimes,
			Rotates: true,
			// Six months: the answer has 15897600 seconds.
			Life: 184 * day, Slides: true,
			Offset: time.Hour, // of 8
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceUserinfo, Field: "id", URL: "https://api.github.com/user"},
		Errors: []ErrorRule{
			// All with status 200 (golang/oauth2#274).
			{Value: "bad_refresh_token", Meaning: NeedsHuman, Hint: "The grant has ended, was used or was revoked: authorize again."},
			{Value: "bad_verification_code", Meaning: NeedsHuman, Hint: "The authorization code is wrong or too old: authorize again."},
			{Value: "unverified_user_email", Meaning: NeedsHuman, Hint: "The user has to verify the primary address, then authorize again."},
			{Value: "incorrect_client_credentials", Meaning: NeedsConfig, Hint: "Check client id and client secret of the app."},
			{Value: "redirect_uri_mismatch", Meaning: NeedsConfig, Hint: "Check the callback URL of the app."},
		},
	}
}

// slack is a Slack app's bot, with token rotation. Source, unless said otherwise:
// docs.slack.dev/authentication/using-token-rotation and
// reference/methods/oauth.v2.access.
func slack() Descriptor {
	return Descriptor{
		Name: "slack", Label: "Slack (bot)", Docs: "https://docs.slack.dev/authentication/using-token-rotation",
		Notes: "Without token rotation, which cannot be switched off again, tokens do not expire and there is no refresh token. " +
			"Unverified: how long a refresh token lives.",
		AuthorizeURL: "https://slack.com/oauth/v2/authorize",
		TokenURL:     "https://slack.com/api/oauth.v2.access",
		AuthStyle:    AuthHeader, // asked for by the method's reference
		Scopes:       Scopes{Default: []string{"team:read"}, Separator: SeparatorComma},
		Answer:       Answer{OK: "ok", Keep: []string{"team.id", "enterprise.id", "app_id"}},
		Expiry:       Expiry{Endless: true},
		Refresh: Refresh{
			Issued: IssuedSometimes,
			// "The refresh token is then revoked, and a new refresh token is
			// used": no grace.
			Rotates: true,
			Offset:  2 * time.Hour, // of 12, as Slack's own SDKs have it
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceAnswer, Field: "team.id"},
		Errors:  slackErrors(),
	}
}

// slackUser is a Slack app acting for a person. In the answer to a code the
// token is under authed_user, in that to a refresh at the top
// (slackapi/python-slack-sdk, slack_sdk/oauth/token_rotation/rotator.py).
func slackUser() Descriptor {
	d := slack()
	d.Name, d.Label = "slack-user", "Slack (user)"
	d.Rename.Authorize = map[string]string{"scope": "user_scope"}
	d.Scopes.Default = []string{"users:read"}
	d.Answer.Token = "authed_user"
	d.Subject.Field = "authed_user.id"
	return d
}

// slackErrors all come with status 200 and ok: false (slackapi/node-slack-sdk#2038).
func slackErrors() []ErrorRule {
	return []ErrorRule{
		{Value: "invalid_refresh_token", Meaning: NeedsHuman, Hint: "The refresh token was used or revoked: authorize again."},
		{Value: "token_expired", Meaning: NeedsHuman},
		{Value: "token_revoked", Meaning: NeedsHuman, Hint: "The app was uninstalled or the token revoked: authorize again."},
		{Value: "account_inactive", Meaning: NeedsHuman, Hint: "The user or workspace is gone: authorize again."},
		{Value: "invalid_code", Meaning: NeedsHuman, Hint: "The authorization code is wrong or too old: authorize again."},
		{Value: "invalid_client_id", Meaning: NeedsConfig, Hint: "Check the client id of the app."},
		{Value: "bad_client_secret", Meaning: NeedsConfig, Hint: "Check the client secret of the app."},
		{Value: "bad_redirect_uri", Meaning: NeedsConfig, Hint: "Check the redirect URLs of the app."},
		{Value: "accesslimited", Meaning: AdminPolicy, Hint: "The organisation does not admit this network."},
		{Value: "ratelimited", Meaning: Wait},
		{Value: "internal_error", Meaning: Retry},
		{Value: "fatal_error", Meaning: Retry},
	}
}

// zoom is a Zoom app acting for people. Source, unless said otherwise:
// developers.zoom.us/docs/integrations/oauth.
func zoom() Descriptor {
	return Descriptor{
		Name: "zoom", Label: "Zoom", Docs: "https://developers.zoom.us/docs/integrations/oauth/",
		Notes: "Scopes are those of the app. Sources disagree about the life of a refresh token (unverified): 90 days, older pages 15 years. " +
			"Server-to-server apps are secrets of the kind oauth2 with the option grant_type: account_credentials.",
		AuthorizeURL: "https://zoom.us/oauth/authorize",
		TokenURL:     "https://zoom.us/oauth/token",
		RevokeURL:    "https://zoom.us/oauth/revoke",
		AuthStyle:    AuthHeader,
		PKCE:         S256,
		Answer:       Answer{Keep: []string{"api_url"}},
		Refresh: Refresh{
			// "The latest refresh token must always be used"
			// (devsupport.zoom.us, "extending the expiration").
			Rotates: true,
			Life:    90 * day, Slides: true,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceUserinfo, Field: "id", URL: "https://api.zoom.us/v2/users/me"},
		Errors: []ErrorRule{
			// With the error invalid_request, which elsewhere is about the app.
			{Field: "reason", Value: "Invalid Token!", Meaning: NeedsHuman, Hint: "The refresh token was used before or has ended: authorize again."},
		},
	}
}
