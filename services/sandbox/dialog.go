package sandbox

import (
	"html/template"
	"net/http"
)

// decision is what a person sent from the page of a dialog.
type decision struct {
	allow   bool
	account string
}

// amend changes the scripted consent as the person decided. A scripted error
// stays: it is the provider's, whatever the person says.
func (d decision) amend(c Consent) Consent {
	if d.account != "" {
		c.Account = d.account
	}
	if !d.allow {
		c.Error = "access_denied"
	}
	return c
}

// readDecision reads what the page's buttons post; nil when nothing is posted.
func readDecision(w http.ResponseWriter, r *http.Request) (*decision, string) {
	if r.Method != http.MethodPost {
		return nil, ""
	}
	form, why := readForm(w, r)
	said := form.Get("decision")
	if why != nil || said != "allow" && said != "deny" || len(form.Get("account")) > maxText {
		return nil, flawForm
	}
	return &decision{allow: said == "allow", account: form.Get("account")}, ""
}

// page is what a browser is shown: a flaw, or a question.
type page struct {
	Flaw    string
	Client  string
	Scopes  []string
	Account string
}

// The form posts to the address of the page, which holds the whole request.
var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Rekindle sandbox</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
main { max-width: 32rem; margin: 4rem auto; padding: 0 1rem }
button, input { font: inherit; padding: .4em 1em }
</style>
<main>
<h1>Rekindle sandbox</h1>
{{if .Flaw}}<p role="alert">{{.Flaw}}</p>
{{else}}<form method="post">
<p><strong>{{.Client}}</strong> asks for access{{if .Scopes}} to:</p>
<ul>{{range .Scopes}}<li><code>{{.}}</code></li>{{end}}</ul>{{else}}.</p>{{end}}
<p><label>Account <input name="account" value="{{.Account}}" required autocomplete="off"></label></p>
<p><button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></p>
</form>
{{end}}</main>
`))

// writePage shows p. Nothing may frame it, so that nobody clicks unawares (RFC
// 9700 §4.16).
func writePage(w http.ResponseWriter, status int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, p) //nolint:errcheck // the browser has gone
}
