package events

import _ "embed"

// AsyncAPI is the document that describes what is said on the bus: AsyncAPI 3.0, in
// YAML. It refers to the files of package schema beside it.
//
//go:embed asyncapi.yaml
var AsyncAPI string
