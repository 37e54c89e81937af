// Sim is a discrete-event simulation of a fleet that one machine cannot hold:
// 100 million secrets in cells, in three regions. It shows what docs/scale.md
// claims, and prints the tables that are in it.
//
//	go run ./test/sim                       print them
//	go run ./test/sim -doc docs/scale.md    put them into the document
//
// # What it promises
//
// The same seed gives the same tables, on every machine. Each mechanism that the
// document counts on can be switched off in the model, and a test shows that it is
// missed then. Figures that were measured are named with where, and assumptions
// are called so, in parameters.go.
//
// # What it refuses
//
// It imports nothing of the product and proves nothing about its code: it is about
// a design, most of which is not built. What that design asks of NATS is asked of a
// server in nats_test.go.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	seed := flags.Uint64("seed", publishedSeed, "of all that is random")
	doc := flags.String("doc", "", "put the tables into this document, between their marks")
	if flags.Parse(args) != nil {
		return 2
	}
	tables := simulate(*seed)
	if *doc == "" {
		for _, t := range tables {
			fmt.Fprintf(stdout, "%s\n\n%s\n", t.name, t.markdown())
		}
		return 0
	}
	if err := update(*doc, tables); err != nil {
		fmt.Fprintln(stderr, "sim:", err)
		return 1
	}
	return 0
}

// publishedSeed is the one whose tables are in the document.
const publishedSeed = 1

// simulate makes every table, in the order of the document.
func simulate(seed uint64) []table {
	return []table{
		parameters(), sizes(), placements(seed), lateness(seed), neighbours(seed),
		regions(seed), fences(seed), handovers(), shares(seed), herds(seed),
	}
}

// table is a named table of text.
type table struct {
	name string
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, r := range t.rows {
		line(r)
	}
	return b.String()
}

// update replaces what stands between the marks of each table in a file.
func update(name string, tables []table) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	filled, err := fill(string(text), tables)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(filled), 0o644)
}

// fill returns the text with the tables between their marks. A table without a
// place, and a place without a table, are errors.
func fill(text string, tables []table) (string, error) {
	marks := regexp.MustCompile(`(?s)<!-- sim:([a-z]+) -->\n.*?<!-- /sim -->`)
	if have := len(marks.FindAllString(text, -1)); have != len(tables) {
		return "", fmt.Errorf("%d places for %d tables", have, len(tables))
	}
	for _, t := range tables {
		mark := "<!-- sim:" + t.name + " -->\n"
		before, rest, ok := strings.Cut(text, mark)
		_, after, closed := strings.Cut(rest, "<!-- /sim -->")
		if !ok || !closed {
			return "", fmt.Errorf("no place for the table %s", t.name)
		}
		text = before + mark + t.markdown() + "<!-- /sim -->" + after
	}
	return text, nil
}
