package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

// screen shows a block of lines: on a terminal it is drawn over and over in the
// same place, elsewhere a line is printed when it says something new.
type screen struct {
	out      io.Writer
	terminal bool
	width    int
	last     []line
}

// line is one secret: what is worth telling, and what changes all the time.
type line struct{ news, clock string }

func newScreen(out io.Writer) *screen {
	s := &screen{out: out, width: 120}
	if fd, ok := terminal(out); ok {
		s.terminal = true
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			s.width = w
		}
	}
	return s
}

const (
	ansiUp    = "\x1b[%dA"
	ansiClear = "\x1b[2K"
)

func (s *screen) show(lines []line) {
	if s.terminal && len(s.last) > 0 {
		fmt.Fprintf(s.out, ansiUp, len(s.last))
	}
	for i, l := range lines {
		switch {
		case s.terminal:
			fmt.Fprintf(s.out, ansiClear+"%s\n", clip(l.news+"  "+l.clock, s.width))
		case i >= len(s.last) || l.news != s.last[i].news:
			fmt.Fprintln(s.out, l.news)
		}
	}
	s.last = lines
}

// clip shortens a line so that it does not wrap.
func clip(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:max(0, width-1)]) + "…"
}

// lines makes a line of each secret, oldest first, and reports whether all
// that expire have been refreshed often enough.
func (d demonstration) lines(secrets []client.Secret, now time.Time) (lines []line, done bool) {
	done = d.rounds > 0
	for _, s := range slices.Backward(secrets) { // the API lists the newest first
		asked := uint64(0)
		if id, ok := s.Attributes.Credentials["client_id"].(string); ok {
			if st, err := d.provider.Client(id); err == nil {
				asked = st.Counters.Requests
			}
		}
		lines = append(lines, demoLine(s, asked, now))
		id := s.ID.ID
		if at := s.Attributes.ActivatedAt; at != nil && at.After(d.values[id]) {
			d.values[id] = *at
			d.count[id]++
		}
		if s.Attributes.ExpiresAt != nil && d.count[id] <= d.rounds || s.Attributes.Status == "pending" {
			done = false
		}
	}
	return lines, done
}

func demoLine(s client.Secret, asked uint64, now time.Time) line {
	a := s.Attributes
	state := a.Status
	if s.Meta.RefreshStatus != "" {
		state += ", refresh " + s.Meta.RefreshStatus
	}
	news := fmt.Sprintf("%-13s %-28s", a.Name, state)
	switch {
	case a.Status == "failed":
		return line{news: news + " " + s.Meta.StatusDetails.String()}
	case a.Status == "pending":
		return line{news: news + " first exchange"}
	case a.ExpiresAt == nil:
		return line{news: news + " does not expire"}
	}
	news += fmt.Sprintf(" exchange %-3d", asked)
	if why := s.Meta.RefreshStatusDetails.String(); why != "" {
		news += " " + why
	}
	left := a.ExpiresAt.Sub(now)
	clock := fmt.Sprintf("%s %4.1fs left, refresh in %4.1fs", bar(left, demoValidity*2), max(0, left.Seconds()), max(0, a.RefreshAt.Sub(now).Seconds()))
	return line{news: news, clock: clock}
}

// bar draws how much of whole is left, in 16 places.
func bar(left, whole time.Duration) string {
	const places = 16
	n := min(places, max(0, int(places*left/whole)))
	return strings.Repeat("█", n) + strings.Repeat("░", places-n)
}
