package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// table is a table in Markdown.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func newTable(title string, head ...string) *table { return &table{title: title, head: head} }

func (t *table) row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = text(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintln(w)
}

// size is a number of bytes.
type size float64

func text(v any) string {
	switch v := v.(type) {
	case size:
		return v.String()
	case time.Duration:
		return duration(v)
	case float64:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprint(v)
	}
}

func (s size) String() string {
	switch {
	case s >= 10<<20 || s <= -10<<20:
		return fmt.Sprintf("%.0f MiB", float64(s)/(1<<20))
	case s >= 10<<10 || s <= -10<<10:
		return fmt.Sprintf("%.0f KiB", float64(s)/(1<<10))
	default:
		return fmt.Sprintf("%.0f B", float64(s))
	}
}

// duration shows three digits.
func duration(d time.Duration) string {
	switch {
	case d == 1<<63-1:
		return "beyond"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", d.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
}
