package api

// What the tests of tokens look at.
const MaxTokens = maxTokens

var (
	Checksum = checksum
	BearerOf = bearerOf
)
