package callback_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/callback"
)

// FuzzCallback: only a redirect that is whole reaches the service, as it was
// sent, and of the rest nothing does; no page quotes it.
func FuzzCallback(f *testing.F) {
	const planted = "planted-in-a-query"
	for _, query := range []string{
		"state=s&code=" + planted, "state=s&error=access_denied&error_description=" + planted, "state=s&spapi_oauth_code=c&selling_partner_id=A1",
		"state=s&code=c&iss=https%3A%2F%2Fissuer.example&realmId=1", "state=s&state=t&code=c", "code=c", "state=s&code=c&error=e", "state=%zz", "state=s;code=c",
		"state=" + strings.Repeat("s", 513) + "&code=c", "state=s&code=%00%0d%0a", "state=s&code=<script>" + planted,
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		asked := 0
		h := callback.New(callback.Deps{
			Service: serviceFunc(func(_ context.Context, c api.Consent) (api.Verdict, error) {
				asked++
				sent, err := url.ParseQuery(query)
				if err != nil || len(sent["state"]) != 1 || sent.Get("state") != c.State || c.State == "" || (c.Error == "") == c.Code.IsZero() {
					t.Errorf("%q arrived with the state %q", query, c.State)
				}
				if code := c.Code.Reveal(); !c.Code.IsZero() && string(code) != sent.Get("code") || c.Error != sent.Get("error") {
					t.Errorf("%q arrived otherwise", query)
				}
				return api.Verdict{}, api.ErrNoDialog
			}),
			Logger: slog.New(slog.DiscardHandler), Tracer: noop.NewTracerProvider(), Metrics: prometheus.NewRegistry(), PublicURL: "https://rekindle.example",
		})
		r := httptest.NewRequest(http.MethodGet, callback.Path, nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if asked > 1 || w.Code >= http.StatusInternalServerError || strings.Contains(w.Body.String(), planted) {
			t.Errorf("asked %d times, status %d", asked, w.Code)
		}
	})
}
