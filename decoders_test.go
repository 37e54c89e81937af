package rekindle_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decoding are the calls by which a function is known to read what strangers, or
// other versions, have written.
var decoding = []string{
	"json.Unmarshal", "json.NewDecoder", "url.ParseQuery", "pem.Decode", "http.ParseTime", "mime.ParseMediaType",
	"time.Parse", "parser.Parse", "RawURLEncoding.DecodeString",
}

// decoders says which fuzz target feeds each function that decodes. One that is
// not in the table fails the test: whoever adds one writes its target.
var decoders = map[string]string{
	"cmd/rekindle.Set":       notFuzzed + "what people type themselves",
	"cmd/rekindle.printTest": "cmd/rekindle.FuzzPrintTest",
	"cmd/rekindle.start":     notFuzzed + "a flag, which is a time or none",
	"cmd/rekindle.read":      notFuzzed + "what people type themselves",
	"cmd/rekindle.tellEvent": "cmd/rekindle.FuzzTellEvent",
	"cmd/rekindle.tellGap":   "cmd/rekindle.FuzzTellEvent",
	"cmd/rekindle.withTest":  "cmd/rekindle.FuzzPrintTest",

	"events.ReadAttributes":         "events.FuzzDecode",
	"events/internal/body.Decode":   "events.FuzzJob",
	"events/intake.readContentType": "events/intake.FuzzReadEnvelope",

	"events/sealing.ReadKeyFile":   "events/sealing.FuzzKeyset",
	"events/sealing.UnmarshalJSON": "events/sealing.FuzzValue",
	"events/sealing.created":       "events/sealing.FuzzKeyset",

	"pkg/bus.erased":      "pkg/bus.FuzzServerSays",
	"pkg/bus.stored":      "pkg/bus.FuzzServerSays",
	"pkg/bus.describe":    "pkg/bus.FuzzDescribe",
	"pkg/bus.members":     "pkg/bus.FuzzDescribe",
	"pkg/bus.readRoll":    "pkg/bus.FuzzRoll",
	"pkg/bus.storedEntry": "pkg/bus.FuzzServerSays",

	"pkg/config.UnmarshalText": "pkg/config.FuzzDecode",
	"pkg/config.parse":         "pkg/config.FuzzDecode",

	"pkg/endpoint.Decode": "pkg/endpoint.FuzzDecode",

	"pkg/provider.claims":      "pkg/provider.FuzzRead",
	"pkg/provider.moment":      "pkg/provider.FuzzRead",
	"pkg/provider.parseAnswer": "pkg/provider.FuzzRead",
	"pkg/provider.parseForm":   "pkg/provider.FuzzRead",

	"pkg/record.Decode": "pkg/record.FuzzDecode",
	"pkg/record.read":   "pkg/record.FuzzDecode",

	"pkg/seal.UnmarshalJSON": "pkg/seal.FuzzPlaintextUnmarshalJSON",

	"pkg/transfer.Decode":        "pkg/transfer.FuzzDecode",
	"pkg/transfer.LoadRecipient": "events/sealing.FuzzKeyset",
	"pkg/transfer.binding":       "pkg/transfer.FuzzOpen",
	"pkg/transfer.open":          "pkg/transfer.FuzzOpen",
	"pkg/transfer.readJournal":   "pkg/transfer.FuzzJournal",
	"pkg/transfer.split":         "pkg/transfer.FuzzDecode",

	"pkg/secret.SigningKey": "pkg/secret.FuzzSigningKey",
	"pkg/secret.holderOf":   notFuzzed + "a text that it has written itself",

	"pkg/audit.ReadPage": "pkg/audit.FuzzPage",

	"pkg/webhook.ReadDelivery":      "pkg/webhook.FuzzDelivery",
	"pkg/webhook.ReadTry":           "pkg/webhook.FuzzDelivery",
	"pkg/webhook.ReadProgress":      "pkg/webhook.FuzzDelivery",
	"services/courier.readCallback": "services/courier.FuzzRecords",

	"services/api.Recall":     notFuzzed + "a record of its own, which is refused if it cannot be read",
	"services/api.ask":        "services/api.FuzzTestAnswer",
	"services/api.change":     "services/api.FuzzApply",
	"services/api.decode":     "services/api/reactor.FuzzCreateSecret",
	"services/api.domains":    "services/api/reactor.FuzzCreate",
	"services/api.outcomeOf":  "services/api.FuzzTestAnswer",
	"services/api.readKeyset": "services/api.FuzzApply",
	"services/api.readParcel": "services/api.FuzzParcel",
	"services/api.read":       notFuzzed + "a record that the projection reads, too",
	"services/api.secretOf":   "services/api.FuzzState",
	"services/api.split":      "services/api/reactor.FuzzCreateSecret",
	"services/api.unpacked":   "services/api.FuzzApply",
	"services/api.wants":      "services/api.FuzzWants",

	"services/api/auth.issuerOf": "services/api/auth.FuzzVerify",
	"services/api/auth.keysOf":   "services/api/auth.FuzzKeys",

	"services/api/callback.readQuery": "services/api/callback.FuzzCallback",

	"services/api/client.CreateToken": notFuzzed + "what decode has read before",
	"cmd/rekindle.listAudit":          notFuzzed + "a flag, which is a time or none",

	"services/api/client.Events":  "services/api/client.FuzzReadMessages",
	"services/api/client.decode":  "services/api/client.FuzzAnswer",
	"services/api/client.do":      "services/api/client.FuzzAnswer",
	"services/api/client.isAPI":   "services/api/client.FuzzAnswer",
	"services/api/client.problem": "services/api/client.FuzzAnswer",

	"services/api/reactor.sinceOf":   "services/api/reactor.FuzzEventQuery",
	"services/api/reactor.spanOf":    "services/api/reactor.FuzzAsk",
	"services/api/reactor.moment":    "services/api/reactor.FuzzAsk",
	"services/api/reactor.momentIs":  "services/api/reactor.FuzzList",
	"services/api/reactor.negotiate": "services/api/reactor.FuzzCreate",
	"services/api/reactor.rangeOf":   "services/api/reactor.FuzzAsk",

	"services/exchanger.NewClientKey": "services/exchanger.FuzzClientKey",
	"services/exchanger.announce":     notFuzzed + "a notice that is given again if it cannot be read",
	"services/exchanger.answeredAt":   "services/exchanger.FuzzRetryAfter",
	"services/exchanger.described":    "services/exchanger.FuzzExcerpt",
	"services/exchanger.introspect":   "services/exchanger.FuzzIntrospect",
	"services/exchanger.isAhead":      "events/sealing.FuzzKeyset",
	"services/exchanger.list":         notFuzzed + "a record that the domain reads again",
	"services/exchanger.httpDate":     "services/exchanger.FuzzRetryAfter",
	"services/exchanger.member":       "services/exchanger.FuzzMember",
	"services/exchanger.nameOf":       notFuzzed + "a record of the fleet's own, of which the name is read",
	"services/exchanger.refused":      "services/exchanger.FuzzRefused",
	"services/exchanger.row":          notFuzzed + "what it has written itself",
	"services/exchanger.sealConsent":  notFuzzed + "what it has written itself",
	"services/exchanger.signJWT":      "services/exchanger.FuzzCustomClaims",
	"services/exchanger.text":         "services/exchanger.FuzzMembers",

	"services/sandbox.publicKey":      "services/sandbox.FuzzDecodeClient",
	"services/sandbox.readAssertion":  "services/sandbox.FuzzToken",
	"services/sandbox.DecodeClient":   "services/sandbox.FuzzDecodeClient",
	"services/sandbox.open":           "services/sandbox.FuzzIntrospect",
	"services/sandbox.parseSeconds":   "services/sandbox.FuzzDecodeClient",
	"services/sandbox.readAsk":        "services/sandbox.FuzzAuthorize",
	"services/sandbox.readCall":       "services/sandbox.FuzzToken",
	"services/sandbox.readForm":       "services/sandbox.FuzzToken",
	"services/sandbox.readObject":     "services/sandbox.FuzzToken",
	"services/sandbox.readParameters": "services/sandbox.FuzzToken",
}

// notFuzzed comes before the reason why there is no target.
const notFuzzed = "none: "

func TestDecodersAreFuzzed(t *testing.T) {
	found, targets := map[string]bool{}, fuzzTargets(t)
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || !decodes(f) {
				continue
			}
			name := s.dir + "." + f.Name.Name
			found[name] = true
			if _, ok := decoders[name]; !ok {
				t.Errorf("%s: %s decodes, and the table has no fuzz target for it", s.path, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(decoders)) {
		if !found[name] {
			t.Errorf("the table has %s, which decodes nothing", name)
		}
		if target := decoders[name]; !targets[target] && !strings.HasPrefix(target, notFuzzed) {
			t.Errorf("%s: there is no fuzz target %s", name, target)
		}
	}
}

func decodes(f *ast.FuncDecl) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			found = found || slices.Contains(decoding, qualifier(sel.X)+"."+sel.Sel.Name)
		}
		return true
	})
	return found
}

// qualifier is the last name before a selector.
func qualifier(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.CallExpr: // base64.RawURLEncoding.Strict().DecodeString
		if sel, ok := x.Fun.(*ast.SelectorExpr); ok {
			return qualifier(sel.X)
		}
	}
	return ""
}

// fuzzTargets are the fuzz targets of the product, by folder and name.
func fuzzTargets(t *testing.T) map[string]bool {
	t.Helper()
	targets := map[string]bool{}
	for dir := range imports {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
					targets[dir+"."+f.Name.Name] = true
				}
			}
		}
	}
	return targets
}
