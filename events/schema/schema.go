// Package schema holds the JSON Schema (2020-12) of what each type of event, job and
// upstream event says, and of a status, for programs that are not written in Go. The
// files are generated from the structs, and of their comments; a test keeps them so.
//
// A schema allows members that it does not know, and values of closed sets that are
// new: a later version may say more. What a schema refuses, no version says.
package schema

import "embed"

//go:embed *.json
var files embed.FS

// Of returns the schema of a CloudEvents type ("dev.rekindle.v1.SecretCreated",
// "dev.rekindle.intake.v1.SecretCreated"), or of [Status]; false when there is none.
func Of(ceType string) ([]byte, bool) {
	schema, err := files.ReadFile(ceType + ".json")
	return schema, err == nil
}

// Status is the name of the schema of events.Status.
const Status = "dev.rekindle.v1.Status"
