package secret

// Warning is something that an exchange noticed which is no failure, but which
// somebody should know, in words fit for anyone who may see the secret.
type Warning struct {
	// Code is one of the closed set in package events.
	Code   string `json:"code"`
	Detail string `json:"detail"`
}
