package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// Positions are where in a file its fields stand. The zero value is of no file.
type Positions struct {
	file string
	at   map[string]token.Position
}

// Place returns where the field of that path stands, "rekindle.yaml:12:5": it,
// or, for one that the file leaves out, the nearest around it. It is empty for
// what the file says nothing about.
func (p Positions) Place(field string) string {
	for field != "" {
		if at, named := p.at[field]; named {
			return placed(p.file, at.Line, at.Column)
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return ""
}

func placed(file string, line, column int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}
