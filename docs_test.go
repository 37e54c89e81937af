package rekindle_test

import (
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// TestDocumentLinks follows every link from one of our documents into the
// repository. Links to other sites are not followed: a test must not depend on
// the network.
func TestDocumentLinks(t *testing.T) {
	docs, err := readDocuments(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) == 0 {
		t.Fatal("no documents found: the test looks in the wrong place")
	}
	for _, problem := range brokenLinks(os.DirFS("."), docs) {
		t.Error(problem)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	repository := fstest.MapFS{
		"pkg/seal/seal.go": {Data: []byte("package seal\n")},
		"docs/guide.md": {Data: []byte("# Guide\n## The `Plan` function, twice\n## The `Plan` function, twice\n" +
			"```sh\n# not a heading\n[not a link](nowhere)\n```\n<a id=\"here\"></a>\n")},
	}
	tests := []struct{ name, text, want string }{
		{"file", "[x](docs/guide.md)", ""},
		{"directory", "[x](pkg/seal/)", ""},
		{"from the root", "[x](/docs/guide.md)", ""},
		{"title", `[x](docs/guide.md "The guide")`, ""},
		{"anchor", "[x](docs/guide.md#the-plan-function-twice)", ""},
		{"second of the same name", "[x](docs/guide.md#the-plan-function-twice-1)", ""},
		{"anchor in HTML", "[x](docs/guide.md#here)", ""},
		{"own anchor", "# Once upon · a_time\n[x](#once-upon--a_time)", ""},
		{"linked heading", "## [1.0](docs/guide.md)\n[x](#10)", ""},
		{"other site", "[x](https://example.org/nowhere) <a href=\"mailto:a@example.org\">", ""},
		{"code", "`[x](nowhere)`", ""},
		{"fenced code", "  ~~~\n[x](nowhere)\n~~~\n````md\n```\n[x](nowhere)\n```\n````\n", ""},
		{"after fenced code", "```\n```\n[x](docs/gone.md)", "README.md: docs/gone.md: no such file"},

		{"missing file", "[x](docs/gone.md)", "README.md: docs/gone.md: no such file"},
		{"wrong case", "[x](docs/Guide.md)", "README.md: docs/Guide.md: no such file"},
		{"missing anchor", "[x](docs/guide.md#gone)", "README.md: docs/guide.md#gone: no such heading"},
		{"heading in code", "[x](docs/guide.md#not-a-heading)", "README.md: docs/guide.md#not-a-heading: no such heading"},
		{"missing own anchor", "[x](#gone)", "README.md: #gone: no such heading"},
		{"line of a source file", "[x](pkg/seal/seal.go#L1)", "README.md: pkg/seal/seal.go#L1: no such heading"},
		{"out of the repository", "[x](../secret.md)", "README.md: ../secret.md: outside the repository"},
		{"image", "![x](docs/gone.png)", "README.md: docs/gone.png: no such file"},
		{"reference", "[x][y]\n\n[y]: docs/gone.md", "README.md: docs/gone.md: no such file"},
		{"HTML", `<img alt="x" src="docs/gone.png">`, "README.md: docs/gone.png: no such file"},
		{"broken over lines", "[x\ny](docs/gone.md)", "README.md: docs/gone.md: no such file"},
		{"malformed", "[x](%zz)", "README.md: %zz: malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			repository["README.md"] = &fstest.MapFile{Data: []byte(tt.text)}
			docs, err := readDocuments(repository)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(brokenLinks(repository, docs), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// document is what a Markdown file offers to link to, and what it links to.
type document struct {
	anchors map[string]bool
	links   []string
}

// readDocuments reads all Markdown files of the repository but those of other
// people's making and of running it.
func readDocuments(repository fs.FS) (map[string]document, error) {
	docs := make(map[string]document)
	err := fs.WalkDir(repository, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && foreign(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		docs[name] = parseDocument(string(text))
		return nil
	})
	return docs, err
}

func foreign(directory string) bool {
	return strings.HasPrefix(directory, ".") ||
		slices.Contains([]string{"bin", "data", "node_modules", "testdata", "tools"}, directory)
}

var (
	fence     = regexp.MustCompile("^\\s*(?:`{3,}|~{3,})")
	heading   = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)[\s#]*$`)
	codeSpan  = regexp.MustCompile("`[^`]*`")
	linked    = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	htmlName  = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	anyTarget = regexp.MustCompile(`\]\(\s*<?([^()<>\s]+)` + // [text](target "title")
		`|(?m:^ {0,3}\[[^\]^]+\]:\s+<?([^<>\s]+))` + // [label]: target
		`|<[a-z]+\s[^>]*?\b(?:href|src)="([^"]+)"`) // <a href="target">
)

func parseDocument(text string) document {
	doc := document{anchors: make(map[string]bool)}
	var prose strings.Builder
	for line := range outsideFences(text) {
		if h := heading.FindStringSubmatch(line); h != nil {
			doc.addHeading(h[1])
		}
		prose.WriteString(codeSpan.ReplaceAllString(line, "") + "\n")
	}
	for _, m := range htmlName.FindAllStringSubmatch(prose.String(), -1) {
		doc.anchors[m[1]] = true
	}
	for _, m := range anyTarget.FindAllStringSubmatch(prose.String(), -1) {
		doc.links = append(doc.links, m[1]+m[2]+m[3])
	}
	return doc
}

// outsideFences yields the lines that are not part of a fenced block of code.
func outsideFences(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		open := ""
		for line := range strings.SplitSeq(text, "\n") {
			mark := strings.TrimSpace(fence.FindString(line))
			switch {
			case mark != "" && open == "":
				open = mark
			case mark != "" && strings.HasPrefix(mark, open):
				open = ""
			case open == "" && !yield(line):
				return
			}
		}
	}
}

// addHeading names the heading as GitHub does: lower case, punctuation
// dropped, spaces to hyphens, and a number after a name already taken.
func (d document) addHeading(title string) {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			return unicode.ToLower(r)
		}
		return -1
	}, linked.ReplaceAllString(title, "$1"))
	name := slug
	for n := 1; d.anchors[name]; n++ {
		name = fmt.Sprintf("%s-%d", slug, n)
	}
	d.anchors[name] = true
}

// brokenLinks returns one line for each link that leads nowhere, sorted.
func brokenLinks(repository fs.FS, docs map[string]document) []string {
	var problems []string
	for from, doc := range docs {
		for _, link := range doc.links {
			if problem := follow(repository, docs, from, link); problem != "" {
				problems = append(problems, fmt.Sprintf("%s: %s: %s", from, link, problem))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// follow says what is wrong with a link, or nothing. Only documents have
// anchors: a link to a line of a source file is wrong after the next edit.
func follow(repository fs.FS, docs map[string]document, from, link string) string {
	target, err := url.Parse(link)
	if err != nil {
		return "malformed"
	}
	if target.Scheme != "" || target.Host != "" {
		return ""
	}
	name := from
	switch {
	case strings.HasPrefix(target.Path, "/"):
		name = path.Clean("." + target.Path)
	case target.Path != "":
		name = path.Join(path.Dir(from), target.Path)
	}
	if !fs.ValidPath(name) {
		return "outside the repository"
	}
	if _, err := fs.Stat(repository, name); err != nil {
		return "no such file"
	}
	if target.Fragment != "" && !docs[name].anchors[target.Fragment] {
		return "no such heading"
	}
	return ""
}
