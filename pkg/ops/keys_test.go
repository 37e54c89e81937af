package ops

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeysAreTheConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Key") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		constants = append(constants, value)
		return true
	})
	slices.Sort(constants)
	if diff := cmp.Diff(constants, Keys()); diff != "" {
		t.Errorf("keys is not the sorted list of the constants (-constants +keys):\n%s", diff)
	}
	for _, key := range Keys() {
		if !KnownKey(key) {
			t.Errorf("%s is not known", key)
		}
	}
	for _, key := range []string{"", "token", "Secret", "msg", "time", "level"} {
		if KnownKey(key) {
			t.Errorf("%q is known", key)
		}
	}
}
