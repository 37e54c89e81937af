package reactor

// Patterns are those of the API's routes.
func Patterns() (patterns []string) {
	for _, r := range new(door).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}
