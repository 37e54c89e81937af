package provider

import "time"

// auth0 is a tenant of Auth0 with rotation switched on for the app. Source:
// auth0.com/docs/secure/tokens/refresh-tokens, "configure refresh token
// rotation" and "configure refresh token expiration".
func auth0() Descriptor {
	return Descriptor{
		Name: "auth0", Label: "Auth0", Docs: "https://auth0.com/docs/secure/tokens/refresh-tokens",
		Notes: "This is for an app with rotation; without, answers have no refresh token: set refresh.rotates: false. Overlap period and lifetimes are settings of each app: override refresh and consent to match. " +
			"APIs want the parameter audience. Reusing an older token than the immediate predecessor ends the whole family.",
		AuthorizeURL: "https://{tenant}.auth0.com/authorize",
		TokenURL:     "https://{tenant}.auth0.com/oauth/token",
		RevokeURL:    "https://{tenant}.auth0.com/oauth/revoke",
		Placeholders: map[string]Placeholder{"tenant": {Label: "Tenant and region, acme.eu", Form: FormLabels}},
		AuthStyle:    AuthParams,
		PKCE:         S256,
		Scopes:       Scopes{Default: []string{"profile"}, Always: []string{"openid", "offline_access"}},
		Refresh: Refresh{
			// The overlap period is 0 unless set, and for the immediate
			// predecessor only.
			Rotates: true, GraceGenerations: 1,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
	}
}

// cognito is a user pool of Amazon Cognito with its default domain. Source:
// docs.aws.amazon.com/cognito, "the token endpoint" and
// API_RefreshTokenRotationType.
func cognito() Descriptor {
	return Descriptor{
		Name: "cognito", Label: "Amazon Cognito", Docs: "https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html",
		Notes: "Without rotation, which is the default, a refresh token lives for 30 days unless the app client says otherwise. " +
			"With rotation set refresh.rotates, refresh.grace (at most 60s) and refresh.grace_generations: 1. Unverified: whether the token endpoint rotates then.",
		AuthorizeURL: "https://{domain}.auth.{region}.amazoncognito.com/oauth2/authorize",
		TokenURL:     "https://{domain}.auth.{region}.amazoncognito.com/oauth2/token",
		RevokeURL:    "https://{domain}.auth.{region}.amazoncognito.com/oauth2/revoke",
		Placeholders: map[string]Placeholder{
			"domain": {Label: "Domain prefix of the user pool", Form: FormLabel},
			"region": {Label: "AWS region, eu-west-1", Form: FormLabel},
		},
		AuthStyle: AuthHeader,
		PKCE:      S256,
		Scopes:    Scopes{Always: []string{"openid"}},
		Refresh:   Refresh{Life: 30 * day, Offset: 30 * time.Minute},
		Consent:   Consent{ReauthorizeAfter: 30 * day, Reminders: []time.Duration{7 * day, day}},
		Subject:   Subject{From: PlaceIDToken, Field: "sub"},
	}
}

// microsoft is Microsoft Entra ID, for work, school and personal accounts.
// Source, unless said otherwise: learn.microsoft.com/entra/identity-platform,
// "refresh tokens" and "error codes".
func microsoft() Descriptor {
	return Descriptor{
		Name: "microsoft", Label: "Microsoft", Docs: "https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens",
		Notes:        "Access tokens live for 60 to 90 minutes, drawn by lot. Refresh tokens sent to a redirect URI of a single-page app end after 24 hours, whatever is done.",
		AuthorizeURL: "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
		TokenURL:     "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
		Placeholders: map[string]Placeholder{"tenant": {Label: "Tenant: its id, its domain, or common, organizations, consumers", Form: FormSegment, Default: "common"}},
		AuthStyle:    AuthParams,
		PKCE:         S256,
		Scopes:       Scopes{Default: []string{"https://graph.microsoft.com/User.Read"}, Always: []string{"openid", "offline_access"}},
		Refresh: Refresh{
			// "Refresh tokens replace themselves with a fresh token upon every
			// use. The Microsoft identity platform doesn't revoke old refresh
			// tokens when used": each has its own 90 days.
			Rotates: true, Grace: 90 * day, Life: 90 * day, Slides: true,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
		Errors: []ErrorRule{
			// MicrosoftDocs/azure-docs#48669
			{Field: "error_codes", Value: "7000222", Meaning: NeedsConfig, Hint: "The client secret of the app has expired: make a new one (AADSTS7000222)."},
			{Field: "error_codes", Value: "7000215", Meaning: NeedsConfig, Hint: "The client secret of the app is wrong (AADSTS7000215)."},
			// MicrosoftDocs/azure-docs#23702
			{Field: "error_codes", Value: "700082", Meaning: NeedsHuman, Hint: "The refresh token was not used for 90 days: authorize again (AADSTS700082)."},
			{Field: "error_codes", Value: "50173", Meaning: NeedsHuman, Hint: "The grant was revoked, for instance by a new password: authorize again (AADSTS50173)."},
			{Field: "error_codes", Value: "50076", Meaning: NeedsHuman, Hint: "A second factor is required: authorize again (AADSTS50076)."},
			{Field: "error_codes", Value: "53003", Meaning: AdminPolicy, Hint: "A conditional access policy of the organisation blocks the app (AADSTS53003)."},
			{Field: "error_codes", Value: "65001", Meaning: NeedsHuman, Hint: "Nobody has consented to these scopes: authorize again (AADSTS65001)."},
			{Field: "error_codes", Value: "90033", Meaning: Retry},
		},
	}
}

// okta is an org of Okta with its org authorization server. Source, unless said
// otherwise: support.okta.com on the expiration of refresh tokens; for the leeway
// and its default the API's OpenIdConnectApplicationSettingsRefreshToken.
func okta() Descriptor {
	return Descriptor{
		Name: "okta", Label: "Okta", Docs: "https://developer.okta.com/docs/guides/refresh-tokens/main/",
		Notes: "This is for an app with rotation, which is a setting of each app like its grace period (0 to 60 seconds): override refresh to match. " +
			"A custom authorization server has its own endpoints and lifetimes. Reuse after the grace period ends the whole family. Unverified: that an app without rotation answers with the same refresh token.",
		AuthorizeURL:  "https://{org}.{domain}/oauth2/v1/authorize",
		TokenURL:      "https://{org}.{domain}/oauth2/v1/token",
		RevokeURL:     "https://{org}.{domain}/oauth2/v1/revoke",
		IntrospectURL: "https://{org}.{domain}/oauth2/v1/introspect",
		Placeholders: map[string]Placeholder{
			"org":    {Label: "Org, the first part of its address", Form: FormLabel},
			"domain": {Label: "Domain of the org", OneOf: []string{"okta.com", "okta-emea.com", "oktapreview.com"}, Default: "okta.com"},
		},
		AuthStyle: AuthHeader,
		PKCE:      S256,
		Scopes:    Scopes{Default: []string{"profile"}, Always: []string{"openid", "offline_access"}},
		Refresh: Refresh{
			Rotates: true, Grace: 30 * time.Second, GraceGenerations: 1,
			// On the org server always 90 days, and a new token has the expiry
			// of the one before.
			Life:   90 * day,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{ReauthorizeAfter: 90 * day, WarnMonths: 1, Reminders: []time.Duration{14 * day, 7 * day, day}},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
	}
}

// workOS is WorkOS AuthKit. Source, unless said otherwise:
// workos.com/docs/authkit/session-resilience and sessions.
func workOS() Descriptor {
	return Descriptor{
		Name: "workos", Label: "WorkOS AuthKit", Docs: "https://workos.com/docs/authkit/session-resilience",
		Notes: "Lifetimes and the length of a session are settings in its dashboard: override consent to match. " +
			"Answers name no lifetime: it is in the access token, a JWT, often of 5 minutes.",
		AuthorizeURL:    "https://api.workos.com/user_management/authorize",
		TokenURL:        "https://api.workos.com/user_management/authenticate",
		AuthStyle:       AuthParams,
		PKCE:            S256,
		AuthorizeParams: map[string]string{"provider": "authkit"},
		Answer:          Answer{Keep: []string{"organization_id"}},
		Refresh: Refresh{
			// Inside 30 seconds a replay returns the same pair
			// (kurrent-io/kcap-cli#946).
			Rotates: true, Grace: 30 * time.Second, GraceGenerations: 1,
			Offset: time.Minute, MinGap: time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceAnswer, Field: "user.id"},
	}
}
