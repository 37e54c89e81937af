package api

import _ "embed"

// OpenAPI is the document that describes the HTTP API: OpenAPI 3.1, in YAML.
//
//go:embed openapi.yaml
var OpenAPI string
