package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newAudit() *cobra.Command {
	return group(cobra.Command{
		Use:   "audit",
		Short: "See who did what, and verify that nobody altered it",
		Long: "See who did what, and verify that nobody altered it. It takes a bearer token with the\n" +
			"right read_audit.",
	}, func(c *cobra.Command, r *remote) {
		r.bindProperty(c)
		c.AddCommand(newAuditList(r), newAuditVerify(r))
	})
}

// auditFlags choose entries.
type auditFlags struct {
	typeOf string
	since  string
	most   int
}

func newAuditList(r *remote) *cobra.Command {
	var f auditFlags
	c := r.command(cobra.Command{
		Use:   "list",
		Short: "List what was done, the last first",
		Long: "List what was done, the last first. What is looked for by --type or --property is\n" +
			"looked for among the last 100,000 entries; with --since, among those.",
		Example: "  rekindle audit list\n" +
			"  rekindle audit list --type secret.read --since 2026-11-01T00:00:00Z",
	}, noName, func(ctx context.Context, s *session, _ []string) error { return s.listAudit(ctx, f) })
	c.Flags().StringVar(&f.typeOf, "type", "", "only entries of the type, like secret.read")
	c.Flags().StringVar(&f.since, "since", "", "only what was done after the time, like 2026-11-01T00:00:00Z")
	c.Flags().IntVar(&f.most, "limit", 100, "how many entries to list at the most")
	return c
}

func (s *session) listAudit(ctx context.Context, f auditFlags) error {
	expressions := map[string]string{}
	if f.most < 1 {
		return &usageError{errors.New("--limit: use a number from 1")}
	}
	if f.since != "" {
		if _, err := time.Parse(time.RFC3339, f.since); err != nil {
			return &usageError{errors.New("--since: not a time, write it like 2026-11-01T00:00:00Z")}
		}
		expressions["created_at"] = "GT " + f.since
	}
	if f.typeOf != "" {
		expressions["type_of"] = "EQ " + f.typeOf
	}
	if s.property != "" {
		p, err := s.propertyOf(ctx, s.property)
		if err != nil {
			return err
		}
		expressions["property"] = "EQ " + p.ID.ID
	}
	found, until, err := s.client.AuditEvents(ctx, expressions, f.most)
	if err != nil {
		return err
	}
	s.printAudit(found)
	if !until.IsZero() && len(found) < f.most {
		fmt.Fprintf(s.err, "looked back until %s; --since says how far else\n", until.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s *session) printAudit(found []client.AuditEvent) {
	t := table{head: []string{"TIME", "WHAT", "NAME", "ID", "BY", "PROPERTY", "FOR"}}
	list := make([]written, len(found))
	for i, e := range found {
		list[i] = written{e.ID, e.Source}
		what := []string{e.Attributes.TypeOf}
		for _, more := range []string{e.Meta.Action, e.Meta.Outcome, e.Meta.Reason} {
			if more != "" {
				what = append(what, more)
			}
		}
		by := e.Attributes.Email
		if by == "" {
			by = e.Attributes.By
		}
		t.add(e.Attributes.CreatedAt.UTC().Format(time.RFC3339), strings.Join(what, " "), e.Attributes.DisplayName,
			e.Relationships.Entity.ID(), by, e.Meta.PropertyName, e.Meta.Purpose)
	}
	s.printAll(list, "nothing of the kind was done", t.write)
}

func newAuditVerify(r *remote) *cobra.Command {
	var head string
	c := r.command(cobra.Command{
		Use:   "verify",
		Short: "Verify that nobody altered, removed or reordered what was written down",
		Long: "Fetch the audit trail as it is stored and recompute it: each page has the hash of the\n" +
			"one before it. Whatever was altered, removed or put in another order is told, and the\n" +
			"exit code is 1. The head that is printed is the hash of the last page: keep it where\n" +
			"nobody can change it who can change the server, and give it with --head another\n" +
			"time, for a chain alone does not tell that its end was cut off.",
		Example: "  rekindle audit verify\n" +
			"  rekindle audit verify --head 3d2f9c… -o json",
	}, noName, func(ctx context.Context, s *session, _ []string) error { return s.verifyAudit(ctx, head) })
	c.Flags().StringVar(&head, "head", "", "hash that was printed as the head before")
	return c
}

func (s *session) verifyAudit(ctx context.Context, head string) error {
	if head = strings.ToLower(strings.TrimSpace(head)); head != "" && (len(head) != 64 || strings.Trim(head, "0123456789abcdef") != "") {
		return &usageError{errors.New("--head: not a head, which is a hash of 64 hex digits")}
	}
	progress := s.showVerified()
	var v *audit.Verifier
	for after := uint64(0); ; {
		pages, err := s.client.AuditPages(ctx, after)
		if err != nil {
			return err
		}
		if len(pages) == 0 {
			break
		}
		for _, p := range pages {
			if v == nil {
				v = audit.NewVerifier(orgOf(s.org, p.Body), head)
			}
			v.Add(audit.Stored{Sequence: p.Sequence, Body: p.Body})
			after = p.Sequence
		}
		progress(v.Report())
	}
	if v == nil {
		v = audit.NewVerifier(s.org, head)
	}
	progress(audit.Report{})
	return s.printReport(v.Report())
}

// orgOf is the organisation to verify: if none is named, that of the first page.
func orgOf(org string, body []byte) string {
	if p, err := audit.ReadPage(body); org == "" && err == nil {
		return p.Org
	}
	return org
}

// showVerified returns what shows on a terminal how far a verification is; a report of nothing
// ends it.
func (s *session) showVerified() func(audit.Report) {
	terminal, ok := s.err.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return func(audit.Report) {}
	}
	return func(r audit.Report) {
		fmt.Fprint(s.err, "\r\x1b[K")
		if r.Pages > 0 {
			fmt.Fprintf(s.err, "%d pages, %d entries, up to %s", r.Pages, r.Entries, r.To.UTC().Format(time.DateTime))
		}
	}
}

// printReport prints a report. That something is wrong is an error.
func (s *session) printReport(r audit.Report) error {
	switch s.output {
	case outputJSON:
		document, err := json.Marshal(r)
		if err != nil {
			return err
		}
		s.printJSON(document)
	case outputID:
		fmt.Fprintln(s.out, r.Head)
	default:
		s.printFindings(s.out, r)
	}
	if !r.Sound() {
		return fmt.Errorf("the audit trail is not what was written: %d findings", len(r.Findings))
	}
	return nil
}

func (s *session) printFindings(w io.Writer, r audit.Report) {
	var t sheet
	t.add("organisation", r.Org)
	t.add("entries", fmt.Sprintf("%d on %d pages", r.Entries, r.Pages))
	if r.First > 0 {
		t.add("kept", fmt.Sprintf("pages %d to %d, from %s to %s", r.First, r.Last, r.From.UTC().Format(time.RFC3339), r.To.UTC().Format(time.RFC3339)))
	}
	if r.First > 1 {
		t.add("before", fmt.Sprintf("%d pages, which are not kept any more", r.First-1))
	}
	t.add("head", r.Head)
	t.write(w)
	for _, f := range r.Findings {
		at := ""
		if f.Sequence > 0 {
			at = fmt.Sprintf("page %d, at %d: ", f.Number, f.Sequence)
		}
		fmt.Fprintln(w, oneLine(fmt.Sprintf("%s: %s%s", f.Fault, at, f.Detail)))
	}
}
