package provider

import "time"

const day = 24 * time.Hour

// reminders are how long before the end of a grant people hear of it again.
func reminders() []time.Duration { return []time.Duration{30 * day, 14 * day, 7 * day, day} }

// google is bound to oauth2-google: its authorization request is contract A13's
// (step 3), its scopes are contract A9's, its lifetime and offset contract A11's.
func google() Descriptor {
	return Descriptor{
		Name: "google", Label: "Google", Kind: "oauth2-google",
		Docs: "https://developers.google.com/identity/protocols/oauth2/web-server",
		Notes: "Google ends the refresh tokens of an app whose publishing status is Testing after 7 days, and those of Gmail scopes when the password changes. " +
			"openid is asked for besides a secret's scopes, to know the account.",
		AuthorizeURL: "https://accounts.google.com/o/oauth2/auth",
		TokenURL:     "https://oauth2.googleapis.com/token",
		RevokeURL:    "https://oauth2.googleapis.com/revoke",
		AuthStyle:    AuthParams,
		PKCE:         S256,
		// Without forced consent a second authorization brings no refresh token
		// (amp-labs/connectors#1168). prompt=consent is its newer name; the two
		// must not be sent together.
		AuthorizeParams: map[string]string{"access_type": "offline", "approval_prompt": "force"},
		Scopes: Scopes{
			Always:  []string{"openid"},
			Allowed: []string{"https://www.googleapis.com/auth/adwords", "https://www.googleapis.com/auth/pubsub"},
		},
		Expiry: Expiry{Fixed: time.Hour},
		Refresh: Refresh{
			// Six months without use, and 100 live tokens for an account and
			// client (developers.google.com/identity/protocols/oauth2, "Refresh
			// token expiration").
			Life: 180 * day, Slides: true, PerAccount: 100,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
		Errors: []ErrorRule{
			// Session control of Google Workspace (gogcli#338,
			// salto#5872): consenting again helps until the session ends.
			{Field: "error_subtype", Value: "invalid_rapt", Meaning: AdminPolicy, Hint: "The session policy of the Google Workspace organisation ended the grant: its administrator has to trust the app, then authorize again."},
			{Value: "admin_policy_enforced", Meaning: AdminPolicy, Hint: "The Google Workspace administrator has to allow the app these scopes."},
			{Value: "invalid_grant", Meaning: NeedsHuman, Hint: "The grant has ended or was revoked: authorize again. If it happens every 7 days, the app's publishing status is Testing."},
		},
	}
}

// linkedIn is bound to oauth2-linkedin. Source, unless said otherwise:
// learn.microsoft.com/linkedin/shared/authentication, "programmatic refresh
// tokens" and "authorization code flow".
func linkedIn() Descriptor {
	return Descriptor{
		Name: "linkedin", Label: "LinkedIn", Kind: "oauth2-linkedin",
		Docs: "https://learn.microsoft.com/en-us/linkedin/shared/authentication/programmatic-refresh-tokens",
		Notes: "Refresh tokens are for apps approved for them: without one, consent ends with the access token, after 60 days. " +
			"The default scopes need the product Sign In with LinkedIn using OpenID Connect; name those of the product the app was approved for. " +
			"An app with a client secret must not use PKCE: LinkedIn refuses its code_verifier as invalid_client. " +
			"Unverified: which errors a dead refresh token gives.",
		AuthorizeURL: "https://www.linkedin.com/oauth/v2/authorization",
		TokenURL:     "https://www.linkedin.com/oauth/v2/accessToken",
		AuthStyle:    AuthParams,
		// Not for apps with a client secret: LinkedIn answers a code_verifier
		// with invalid_client, against RFC 6749 section 3.2, be there a challenge
		// or none (UsefulSoftwareCo/executor#2087, teamhanko/hanko#2405,
		// nextauthjs/next-auth#8831). It is for native apps, at another endpoint,
		// when LinkedIn enables it ("authorization code flow native").
		PKCE:   "",
		Scopes: Scopes{Default: []string{"openid", "profile"}},
		Refresh: Refresh{
			Issued: IssuedSometimes,
			// Fixed at 365 days from authorization; near its end access tokens
			// get shorter with it.
			Life:   365 * day,
			Offset: 7 * day,
		},
		Consent: Consent{ReauthorizeAfter: 365 * day, WarnMonths: 3, Reminders: reminders()},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
		Errors: []ErrorRule{
			{Value: "user_cancelled_login", Meaning: NeedsHuman, Hint: "The sign-in was cancelled: authorize again."},
			{Value: "user_cancelled_authorize", Meaning: NeedsHuman, Hint: "Consent was refused: authorize again."},
			{Value: "unauthorized_scope_error", Meaning: NeedsConfig, Hint: "The app was not approved for a scope that is asked for."},
		},
	}
}

// amazon is Login with Amazon, bound to oauth2-amazon. Source, unless said
// otherwise: developer.amazon.com/docs/login-with-amazon, "authorization code
// grant" and "access token".
func amazon() Descriptor {
	return Descriptor{
		Name: "amazon", Label: "Login with Amazon", Kind: "oauth2-amazon",
		Docs: "https://developer.amazon.com/docs/login-with-amazon/authorization-code-grant.html",
		Notes: "An authorization code lives for 5 minutes. Set signin and tld together for a region: www and com, eu.account and co.uk, apac.account and co.jp. " +
			"Name the scopes the app was approved for, such as advertising::campaign_management. " +
			"Unverified: whether a refresh token ever ends by itself; the documentation says that a refresh brings a new one, but not that the old one ends.",
		AuthorizeURL: "https://{signin}.amazon.com/ap/oa",
		TokenURL:     "https://api.amazon.{tld}/auth/o2/token",
		Placeholders: map[string]Placeholder{
			// Hosts by region: developer.amazon.com/docs/amazon-data-portability,
			// "use refresh token", for the tokens; the Amazon Ads API's
			// "authorization grants" for the sign-in pages.
			"signin": {Label: "Sign-in page of the region", OneOf: []string{"www", "eu.account", "apac.account"}, Default: "www"},
			"tld":    {Label: "Domain of the region's token endpoint", OneOf: []string{"com", "co.uk", "co.jp"}, Default: "com"},
		},
		AuthStyle: AuthParams,
		PKCE:      S256,
		Scopes:    Scopes{Default: []string{"profile:user_id"}},
		Refresh:   Refresh{Offset: 30 * time.Minute},
		Consent:   Consent{Reminders: reminders()},
		Subject:   Subject{From: PlaceUserinfo, Field: "user_id", URL: "https://api.amazon.{tld}/user/profile"},
		Errors: []ErrorRule{
			{Value: "invalid_client", Meaning: NeedsConfig, Hint: "Check the client secret: those of Selling Partner API apps end after 180 days."},
		},
	}
}

// amazonSeller is the Selling Partner API, where people consent at Seller
// Central and codes are exchanged at Login with Amazon. Source, unless said otherwise:
// developer-docs.amazon.com/sp-api, "website authorization workflow".
func amazonSeller() Descriptor {
	return Descriptor{
		Name: "amazon-seller", Label: "Amazon Selling Partner API",
		Docs: "https://developer-docs.amazon.com/sp-api/docs/website-authorization-workflow",
		Notes: "An authorization code lives for 5 minutes. The authorization request names the app by its application id, which is not its client id. " +
			"An app that is not published yet needs the parameter version=beta. Unverified: how long an authorization lasts.",
		AuthorizeURL: "https://{console}/apps/authorize/consent",
		TokenURL:     "https://api.amazon.com/auth/o2/token",
		Placeholders: map[string]Placeholder{
			"console": {Label: "Seller Central of the marketplace", Default: "sellercentral.amazon.com", OneOf: []string{
				"sellercentral.amazon.com", "sellercentral.amazon.ca", "sellercentral.amazon.com.mx", "sellercentral.amazon.com.br",
				"sellercentral-europe.amazon.com", "sellercentral.amazon.in", "sellercentral.amazon.co.jp", "sellercentral.amazon.com.au", "sellercentral.amazon.sg",
			}},
			"application_id": {Label: "Application id of the app, amzn1.sp.solution.…", Form: FormSegment},
		},
		AuthStyle:       AuthParams,
		AuthorizeParams: map[string]string{"application_id": "{application_id}"},
		Rename: Rename{
			Authorize: map[string]string{"client_id": "", "response_type": "", "scope": ""},
			Callback:  map[string]string{"code": "spapi_oauth_code"},
		},
		Answer:  Answer{KeepCallback: []string{"selling_partner_id"}},
		Refresh: Refresh{Offset: 30 * time.Minute},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceCallback, Field: "selling_partner_id"},
		Errors: []ErrorRule{
			{Value: "invalid_client", Meaning: NeedsConfig, Hint: "Check the client secret, which ends after 180 days: rotate it in Seller Central."},
		},
		// developer-docs.amazon.com/sp-api/docs/rotating-your-apps-lwa-credentials
		SecretLife: 180 * day,
	}
}

// facebook gives long-lived user tokens and no refresh tokens. Source:
// developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived
// and the error codes of the Graph API.
func facebook() Descriptor {
	return Descriptor{
		Name: "facebook", Label: "Facebook", Docs: "https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived",
		Notes: "There is no refresh token: people consent again before the access token ends, after some 60 days. " +
			"Unverified: whether the answer to a code is always long-lived, and whether a token without expires_in never expires.",
		AuthorizeURL: "https://www.facebook.com/{version}/dialog/oauth",
		TokenURL:     "https://graph.facebook.com/{version}/oauth/access_token",
		Placeholders: map[string]Placeholder{"version": {Label: "Version of the Graph API", Form: FormSegment, Default: "v25.0"}},
		AuthStyle:    AuthParams,
		Scopes:       Scopes{Default: []string{"public_profile"}, Separator: SeparatorComma},
		Refresh:      Refresh{Issued: IssuedNever},
		Consent:      Consent{Reminders: reminders()},
		Subject:      Subject{From: PlaceUserinfo, Field: "id", URL: "https://graph.facebook.com/{version}/me"},
		Errors: []ErrorRule{
			{Field: "error.code", Value: "190", Meaning: NeedsHuman, Hint: "The token has ended or was revoked: authorize again."},
			{Field: "error.code", Value: "1", Meaning: Retry},
			{Field: "error.code", Value: "2", Meaning: Retry},
			{Field: "error.code", Value: "4", Meaning: Wait},
			{Field: "error.code", Value: "17", Meaning: Wait},
		},
	}
}

// tikTok is TikTok for Developers. Source, unless said otherwise:
// developers.tiktok.com/docs/en/oauth-refresh-a-user-access-token (2 November
// 2026) and oauth-user-access-token-management.
func tikTok() Descriptor {
	return Descriptor{
		Name: "tiktok", Label: "TikTok", Docs: "https://developers.tiktok.com/docs/en/oauth-refresh-a-user-access-token",
		Notes: "Sources disagree about lifetimes (unverified): the documentation of 2026 has 2 hours and 180 days, older pages 24 hours and 365 days; the answer tells. " +
			"PKCE is asked of mobile and desktop apps only.",
		AuthorizeURL: "https://www.tiktok.com/v2/auth/authorize/",
		TokenURL:     "https://open.tiktokapis.com/v2/oauth/token/",
		RevokeURL:    "https://open.tiktokapis.com/v2/oauth/revoke/",
		AuthStyle:    AuthParams,
		Rename: Rename{
			Authorize: map[string]string{"client_id": "client_key"},
			Token:     map[string]string{"client_id": "client_key"},
		},
		Scopes: Scopes{Default: []string{"user.info.basic"}, Separator: SeparatorComma},
		Answer: Answer{Keep: []string{"open_id"}},
		Refresh: Refresh{
			// "The previous refresh token stops working once a new one is issued."
			Rotates: true,
			Life:    180 * day, ExpiresField: "refresh_expires_in",
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceAnswer, Field: "open_id"},
	}
}
