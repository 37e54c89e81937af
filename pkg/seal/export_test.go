package seal

// Ring is the private half, for tests to look for where it must not be.
func (r *Reply) Ring() *Keyring { return r.ring }
