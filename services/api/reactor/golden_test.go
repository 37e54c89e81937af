package reactor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

var update = flag.Bool("update", false, "write the answers into testdata/*.golden")

// TestGolden plays the conversations in testdata. A file is made of blocks with
// blank lines between:
//
//	# a comment
//	! a thing that happens in the fleet, see happen
//	> METHOD path
//	> Header: value
//	the body
//	< status
//	< Header: value
//	the body, indented, members in the order in which they came
//
// Ids, tokens and whatever else is random is given names in the order in which
// it first appears: CO1, PR1, PR2, TOKEN1. Requests use the same names, and PEM1
// for a private key. The header ETag is shown where tags are spoken of, as TAG1.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := &conversation{site: newSite(t)}
			c.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"a","expires_in":36000,"token_type":"Bearer"}`)})
			got := c.play(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("%s differs; if it should, run the test with -update (-want +got):\n%s", file, diff)
			}
		})
	}
}

// TestEveryRouteHasAConversation: each is asked in one of them with success, if it can
// succeed at all.
func TestEveryRouteHasAConversation(t *testing.T) {
	t.Parallel()
	d := describe(t)
	silent := map[string]bool{}
	for _, r := range reactor.Routes() {
		silent[r.Pattern] = true
	}
	asked := regexp.MustCompile(`(?s)> ([A-Z]+ /\S*)\n.*?\n< ([0-9]+)\n`)
	for _, file := range must(filepath.Glob("testdata/*.golden")) {
		for _, pair := range asked.FindAllStringSubmatch(string(must(os.ReadFile(file))), -1) {
			method, path, _ := strings.Cut(pair[1], " ")
			_, pattern := d.mux.Handler(httptest.NewRequest(method, path, nil))
			if verb, at, ok := strings.Cut(pattern, " "); ok && (pair[2] < "300" || !succeeds(d.doc.Paths.Value(at).GetOperation(verb))) {
				delete(silent, pattern)
			}
		}
	}
	for pattern := range silent {
		t.Errorf("no conversation in testdata has %s and its success", pattern)
	}
}

// succeeds reports whether an operation ever does.
func succeeds(op *openapi3.Operation) bool {
	for status := range op.Responses.Map() {
		if status < "300" {
			return true
		}
	}
	return false
}

type conversation struct {
	*site
	named []string // real, name, real, name …
	tags  bool     // whether to show the header ETag
	count map[string]int
	// states are those of the last dialog of each secret.
	states map[string]string
	// verdicts are what is to become of codes.
	verdicts chan error
}

// play plays the requests of a conversation and returns it with the answers
// that came.
func (c *conversation) play(t *testing.T, text string) string {
	t.Helper()
	c.count, c.states, c.verdicts = make(map[string]int), make(map[string]string), make(chan error, 1)
	if strings.Contains(text, "PEM1") {
		c.named = append(c.named, privateKey(t), "PEM1")
	}
	c.tags = strings.Contains(text, "If-Match")
	var out []string
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.HasPrefix(block, "<"):
		case strings.HasPrefix(block, "!"):
			c.happen(t, strings.Fields(c.real(block))[1:])
			out = append(out, block)
		case strings.HasPrefix(block, ">"):
			out = append(out, block, c.exchange(t, block))
		default:
			out = append(out, block)
		}
	}
	return strings.Join(out, "\n\n") + "\n"
}

func (c *conversation) exchange(t *testing.T, block string) string {
	t.Helper()
	var body, headers []string
	first := ""
	for line := range strings.SplitSeq(c.real(block), "\n") {
		sent, isHeader := strings.CutPrefix(line, "> ")
		switch {
		case !isHeader:
			body = append(body, line)
		case first == "":
			first = sent
		default:
			headers = append(headers, sent)
		}
	}
	method, path, _ := strings.Cut(first, " ")
	return c.show(t, c.call(t, method, path, strings.Join(body, "\n"), headers...))
}

// show writes an answer with names for what is random.
func (c *conversation) show(t *testing.T, a answer) string {
	t.Helper()
	lines := []string{fmt.Sprint("< ", a.status)}
	for _, name := range []string{"Allow", "Content-Type", "Idempotency-Replayed", "Retry-After", "WWW-Authenticate"} {
		for _, value := range a.header.Values(name) {
			lines = append(lines, "< "+name+": "+value)
		}
	}
	if tag := a.header.Get("ETag"); c.tags && tag != "" {
		lines = append(lines, "< ETag: "+c.nameTag(tag))
	}
	if id := a.header.Get("X-Request-Id"); !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("the header X-Request-Id is %q", id)
	} else if len(a.body) > 0 && a.status >= 400 && !bytes.Contains(a.body, []byte(`"request_id":"`+id+`"`)) {
		t.Errorf("the header X-Request-Id is not in the errors' meta")
	}
	if a.header.Get("Content-Type") == "text/event-stream" {
		return strings.Join(append(lines, c.showStream(string(a.body))), "\n")
	}
	if len(a.body) > 0 {
		var indented bytes.Buffer
		c.remember(a.body)
		if err := json.Indent(&indented, bytes.TrimSpace(a.body), "", "  "); err != nil {
			t.Fatalf("not JSON: %v: %s", err, a.body)
		}
		lines = append(lines, c.name(indented.String()))
	}
	return strings.Join(lines, "\n")
}

// showStream writes a stream, with a dot for each empty line: those part the blocks of a
// conversation.
func (c *conversation) showStream(body string) string {
	body = regexp.MustCompile(`(?m)^retry: \d+$`).ReplaceAllString(strings.TrimSpace(body), "retry: RETRY")
	body = regexp.MustCompile(`"traceparent":"[0-9a-f-]+"`).ReplaceAllString(body, `"traceparent":"TRACE"`)
	return c.name(strings.ReplaceAll(body, "\n\n", "\n.\n"))
}

var random = regexp.MustCompile(`\b(` +
	`(?:SE|PR|EN|CO|HT|NT|UR|AT|EX|DE|LB|BL|AE|CB)[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}` + // ids
	`|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}` + // error ids
	`|[0-9a-f]{32}` + // request ids
	`|[0-9a-f]{12}` + // tokens
	`|rkd_[0-9a-f]{32}_[0-9a-f]{72}` + // API tokens
	`)\b|\b(state|code_challenge)=[\w-]{40,}|(?:whsec_|msg_)[\w+/]+=*`)

// name puts names in the place of what is random.
func (c *conversation) name(text string) string {
	return random.ReplaceAllStringFunc(text, func(real string) string {
		if prefix, _, ok := strings.Cut(real, "_"); ok && (prefix == "whsec" || prefix == "msg") {
			return strings.ToUpper(prefix)
		}
		if parameter, _, ok := strings.Cut(real, "="); ok {
			return parameter + "=" + strings.ToUpper(parameter)
		}
		prefix := map[int]string{36: "UUID", 32: "REQUEST", 12: "TOKEN", 109: "BEARER"}[len(real)]
		if prefix == "UUID" || prefix == "REQUEST" {
			return prefix
		}
		for i := 0; i < len(c.named); i += 2 {
			if c.named[i] == real {
				return c.named[i+1]
			}
		}
		if prefix == "" {
			prefix = real[:2]
		}
		c.count[prefix]++
		c.named = append(c.named, real, fmt.Sprint(prefix, c.count[prefix]))
		return c.named[len(c.named)-1]
	})
}

// nameTag puts a name in the place of an entity tag.
func (c *conversation) nameTag(tag string) string {
	if at := slices.Index(c.named, tag); at >= 0 {
		return c.named[at+1]
	}
	c.count["TAG"]++
	c.named = append(c.named, tag, fmt.Sprint("TAG", c.count["TAG"]))
	return c.named[len(c.named)-1]
}

// real is the reverse of name.
func (c *conversation) real(text string) string {
	pairs := slices.Clone(c.named)
	slices.Reverse(pairs) // name, real, and the later ones first: CO11 before CO1
	return strings.NewReplacer(pairs...).Replace(text)
}

// happen does what an exchanger does to a secret's record:
//
//	! succeed SE1    the exchange ends well, with 36000 s to live
//	! fail SE1       the exchange ends badly
//	! throttle SE1   the provider asks to be left alone for an hour
//	! expire SE1     as succeed, but so long ago that a refresh is due
//	! detach SE1     a healer has come to the secret of a deleted environment
//	! wait 3600      so many seconds pass
//	! end BL1        the build comes to its end
//	! answer 500     the receivers of callbacks answer so from now on
//	! park SE1       a job of the secret is set aside
//	! park x         and one of nobody knows whom
//
// Those of a person and of the exchange of a code are in consent_test.go.
func (c *conversation) happen(t *testing.T, what []string) {
	t.Helper()
	if c.consents(t, what) {
		return
	}
	switch what[0] {
	case "park":
		c.park(what[1])
		return
	case "answer":
		status, err := strconv.Atoi(what[1])
		if err != nil {
			t.Fatal(err)
		}
		c.Receiver.Answer(status)
		return
	case "told":
		c.told(t)
		return
	case "wait":
		seconds, err := strconv.ParseInt(what[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.calls.Add(seconds)
		return
	case "end":
		c.end(t, what[1])
		return
	case "detach":
		apitest.Watch(t, c.State, state.SecretKey(what[1]), func(records map[string][]byte) bool {
			return bytes.Contains(records[state.SecretKey(what[1])], []byte(`"decision":3`))
		})
		c.await(t)
		return
	}
	_, _, err := secret.Store{State: c.State}.Update(t.Context(), what[1], func(s *secret.Secret) error {
		at := s.CreatedAt.Add(1500 * time.Millisecond)
		o := &secret.Outcome{Decision: s.Decision, At: at, Environment: s.Environment}
		switch what[0] {
		case "throttle":
			o.Failure = &secret.Failure{
				ID: secret.NewUUID(), Reason: "throttled", Detail: "the token endpoint answered 429: too many requests",
				RequestID: secret.NewRequestID(), At: at, RetryAt: at.Add(time.Hour),
			}
		case "fail":
			o.Failure = &secret.Failure{
				ID: secret.NewUUID(), Reason: "no_such_host", Detail: "the host of the token URL does not exist",
				RequestID: secret.NewRequestID(), At: at,
			}
		case "expire":
			at = at.Add(-24 * time.Hour)
			fallthrough
		case "succeed":
			if s.Kind.Expires() {
				o.ExpiresAt, o.RefreshAt = secret.Dates(at, 36000*time.Second, s.Credentials.Offset())
			}
		default:
			t.Fatalf("%s cannot happen", what[0])
		}
		s.Apply(o, at)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.await(t)
}

// end waits until a build is not pending any more, and the API shows it.
func (s *site) end(t testing.TB, build string) {
	t.Helper()
	apitest.Watch(t, s.State, state.BuildKey(build), func(records map[string][]byte) bool {
		return !bytes.Contains(records[state.BuildKey(build)], []byte(`"status":"pending"`))
	})
	s.await(t)
}

func (c *conversation) park(about string) {
	m := work.Parked{
		Lane: "job", Secret: about, Reason: `unknown event type: "dev.rekindle.v1.Unheard"`, Deliveries: 1,
		Type: "Unheard", Message: "1", Source: "/rekindle/scheduler", Org: "REKINDLE@LocalOrg", Size: 20,
		Time: time.Date(2025, 11, 3, 8, 59, 0, 0, time.UTC), Members: map[string]string{"secret": "string"},
	}
	if about == "x" {
		m = work.Parked{Lane: "job", Secret: about, Reason: `header ce-specversion is "", want "1.0"`, Size: 9}
	}
	c.Parked.Park(m)
}

// await returns when the API shows what was written beside it: it makes a write
// that comes later.
func (s *site) await(t testing.TB) {
	t.Helper()
	companies := decode[shapes](t, s.call(t, http.MethodGet, "/companies", ""))
	s.make(t, "/companies/"+companies.Data[0].ID+"/properties", `{"data":{"attributes":{"name":"later","platform":"edge"}}}`)
}
