package auth

// Fetched is closed at the end of the next fetch from an issuer.
func Fetched(o *OIDC, url string) <-chan struct{} {
	i := o.issuers[url]
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetched
}
