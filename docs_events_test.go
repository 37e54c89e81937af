package rekindle_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
)

// docs/events.md has a row for each type, and says who publishes it.
func TestEventsAreDocumented(t *testing.T) {
	text := readFile(t, "docs/events.md")
	_, facts, _ := strings.Cut(text, "\n## What the fleet says\n")
	facts, wishes, _ := strings.Cut(facts, "\n## What other systems say\n")
	var want, got []string
	for _, typ := range events.EventTypes() {
		want = append(want, string(typ))
	}
	by := publishers(t)
	for row := range tableRows(facts) {
		typ := code(row[0])
		got = append(got, typ)
		said := strings.Split(row[2], ", ")
		slices.Sort(said)
		if diff := cmp.Diff(by[typ], said); by[typ] != nil && diff != "" {
			t.Errorf("%s is published by (-code +docs/events.md):\n%s", typ, diff)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-events.EventTypes +docs/events.md):\n%s", diff)
	}
	want = nil
	for _, typ := range intake.Types() {
		want = append(want, string(typ))
	}
	if diff := cmp.Diff(want, firstCells(wishes)); diff != "" {
		t.Errorf("upstream events (-intake.Types +docs/events.md):\n%s", diff)
	}
}

// publishers are the services whose code makes an event of a type.
func publishers(t *testing.T) map[string][]string {
	t.Helper()
	by := map[string][]string{}
	for _, s := range sources(t) {
		service, ok := strings.CutPrefix(s.dir, "services/")
		if !ok || strings.HasSuffix(s.dir, "test") {
			continue
		}
		service, _, _ = strings.Cut(service, "/")
		ast.Inspect(s.file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if sel, ok := literal.Type.(*ast.SelectorExpr); ok && qualifier(sel.X) == "events" && !slices.Contains(by[sel.Sel.Name], service) {
				by[sel.Sel.Name] = append(by[sel.Sel.Name], service)
			}
			return true
		})
	}
	for typ := range by {
		slices.Sort(by[typ])
	}
	if len(by) < 10 {
		t.Fatalf("only %d types are published", len(by))
	}
	return by
}
