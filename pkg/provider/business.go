package provider

import "time"

// hubSpot is HubSpot. Source, unless said otherwise:
// developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide; the v1
// endpoints end on 16 February 2027.
func hubSpot() Descriptor {
	return Descriptor{
		Name: "hubspot", Label: "HubSpot", Docs: "https://developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide",
		Notes:        "A refresh answers with the same refresh token, which does not end by itself. Unverified: which errors the v3 endpoint gives a dead one.",
		AuthorizeURL: "https://app.hubspot.com/oauth/authorize",
		TokenURL:     "https://api.hubapi.com/oauth/v3/token",
		AuthStyle:    AuthParams,
		Scopes:       Scopes{Default: []string{"oauth"}},
		Answer:       Answer{Scopes: "scopes", Keep: []string{"hub_id", "user_id"}},
		Refresh:      Refresh{Offset: 10 * time.Minute}, // of 30
		Consent:      Consent{Reminders: reminders()},
		Subject:      Subject{From: PlaceAnswer, Field: "hub_id"},
		Errors: []ErrorRule{
			// How v1 answers.
			{Field: "status", Value: "BAD_REFRESH_TOKEN", Meaning: NeedsHuman, Hint: "The app was uninstalled or the grant revoked: authorize again."},
		},
	}
}

// quickBooks is Intuit QuickBooks Online. Source, unless said otherwise:
// developer.intuit.com, "authentication and authorization".
func quickBooks() Descriptor {
	return Descriptor{
		Name: "quickbooks", Label: "Intuit QuickBooks", Docs: "https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/oauth-2.0",
		Notes: "The value of the refresh token changes about once a day; in between a refresh answers with the same. " +
			"Sources disagree (unverified) whether the value before stays valid for 24 hours or ends at once.",
		AuthorizeURL: "https://appcenter.intuit.com/connect/oauth2",
		TokenURL:     "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
		RevokeURL:    "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
		AuthStyle:    AuthHeader,
		Scopes:       Scopes{Default: []string{"com.intuit.quickbooks.accounting"}},
		Answer:       Answer{KeepCallback: []string{"realmId"}},
		Refresh: Refresh{
			// ruckus/quickbooks-ruby#389 quotes the 24 hours,
			// intuit/QuickBooks-V3-PHP-SDK#324 the opposite.
			Rotates: true, Grace: day, GraceGenerations: 1,
			Life: 100 * day, Slides: true, ExpiresField: "x_refresh_token_expires_in",
			Offset: 30 * time.Minute,
		},
		// Five years at the most since 2025 (release notes of
		// intuit/QuickBooks-V3-Java-SDK v6.5.4).
		Consent: Consent{ReauthorizeAfter: 5 * 365 * day, WarnMonths: 3, Reminders: reminders()},
		Subject: Subject{From: PlaceCallback, Field: "realmId"},
	}
}

// salesforce is a Salesforce org. Source, unless said otherwise:
// help.salesforce.com, "OAuth 2.0 refresh token flow for renewed sessions" and
// "manage OAuth access policies for a connected app".
func salesforce() Descriptor {
	return Descriptor{
		Name: "salesforce", Label: "Salesforce", Docs: "https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_refresh_token_flow.htm",
		Notes: "Answers name no lifetime: the session timeout of the org or app decides, 2 hours unless set, and introspection tells. An early refresh may answer with the same access token. " +
			"Rotation (without grace), an end of the refresh token, and 30 idle days are settings of the app: override refresh to match.",
		AuthorizeURL:  "https://{login}.salesforce.com/services/oauth2/authorize",
		TokenURL:      "https://{login}.salesforce.com/services/oauth2/token",
		RevokeURL:     "https://{login}.salesforce.com/services/oauth2/revoke",
		IntrospectURL: "https://{login}.salesforce.com/services/oauth2/introspect",
		Placeholders: map[string]Placeholder{
			"login": {Label: "Where people sign in: login, test for a sandbox, or the org's own, acme.my", Form: FormLabels, Default: "login"},
		},
		AuthStyle: AuthParams,
		PKCE:      S256,
		Scopes:    Scopes{Default: []string{"api"}, Always: []string{"refresh_token"}},
		Answer:    Answer{Keep: []string{"instance_url", "id"}},
		Expiry:    Expiry{Default: 2 * time.Hour},
		// A sixth approval of a user for an app revokes the oldest
		// (docs.oracle.com, "error when a connected application attempts").
		Refresh: Refresh{PerAccount: 5, Offset: 30 * time.Minute},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceAnswer, Field: "id"},
		Errors: []ErrorRule{
			{Value: "inactive_user", Meaning: NeedsHuman, Hint: "The user is inactive: authorize again as another."},
			{Value: "inactive_org", Meaning: NeedsHuman, Hint: "The org is locked or closed."},
			{Value: "invalid_client_id", Meaning: NeedsConfig, Hint: "Check the consumer key of the app."},
			{Value: "invalid_client_credentials", Meaning: NeedsConfig, Hint: "Check the consumer secret of the app."},
			{Value: "rate_limit_exceeded", Meaning: Wait},
		},
	}
}

// shopify is a Shopify store, with expiring offline tokens. Source:
// shopify.dev/docs/apps/build/authentication-authorization, "about offline access
// tokens", and the changelog of 10 December 2025 and 28 August 2026.
func shopify() Descriptor {
	return Descriptor{
		Name: "shopify", Label: "Shopify", Docs: "https://shopify.dev/docs/apps/build/authentication-authorization/access-tokens/offline-access-tokens",
		Notes: "Public apps have to use expiring tokens from 1 January 2027; expiring=1 asks for them. " +
			"A used refresh token stays valid until its replacement is used; unverified: that nothing else ends it.",
		AuthorizeURL: "https://{shop}.myshopify.com/admin/oauth/authorize",
		TokenURL:     "https://{shop}.myshopify.com/admin/oauth/access_token",
		Placeholders: map[string]Placeholder{"shop": {Label: "Name of the store, before .myshopify.com", Form: FormLabel}},
		AuthStyle:    AuthParams,
		TokenParams:  map[string]string{"expiring": "1"},
		Scopes:       Scopes{Default: []string{"read_products"}, Separator: SeparatorComma},
		Answer:       Answer{KeepCallback: []string{"shop"}},
		Refresh: Refresh{
			Rotates: true, Grace: 90 * day, GraceGenerations: 1,
			Life: 90 * day, Slides: true,
			Offset: 30 * time.Minute,
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceCallback, Field: "shop"},
	}
}

// xero is Xero. Source: developer.xero.com/faq/oauth2.
func xero() Descriptor {
	return Descriptor{
		Name: "xero", Label: "Xero", Docs: "https://developer.xero.com/faq/oauth2",
		Notes:        "One grant is for all organisations that were connected; API calls name one in Xero-Tenant-Id. PKCE is for native apps.",
		AuthorizeURL: "https://login.xero.com/identity/connect/authorize",
		TokenURL:     "https://identity.xero.com/connect/token",
		RevokeURL:    "https://identity.xero.com/connect/revocation",
		AuthStyle:    AuthHeader,
		Scopes:       Scopes{Default: []string{"profile"}, Always: []string{"openid", "offline_access"}},
		Refresh: Refresh{
			// "If, for whatever reason, you don't receive the response you can
			// retry refreshing your existing refresh token for a grace period of
			// 30 minutes."
			Rotates: true, Grace: 30 * time.Minute, GraceGenerations: 1,
			Life: 60 * day, Slides: true,
			Offset: 10 * time.Minute, // of 30
		},
		Consent: Consent{Reminders: reminders()},
		Subject: Subject{From: PlaceIDToken, Field: "sub"},
	}
}
