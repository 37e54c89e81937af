package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newCompany() *cobra.Command {
	return group(cobra.Command{
		Use:   "company",
		Short: "See the companies that properties belong to",
	}, func(c *cobra.Command, r *remote) {
		c.AddCommand(r.command(cobra.Command{
			Use:     "list",
			Short:   "List the companies the bearer token may see",
			Example: "  rekindle company list",
		}, noName, listCompanies))
	})
}

func listCompanies(ctx context.Context, s *session, _ []string) error {
	all, err := s.client.Companies(ctx)
	if err != nil {
		return err
	}
	sortByName(all, callCompany)
	list, t := make([]written, len(all)), table{head: []string{"NAME", "ORGANISATION", "ID"}}
	for i, c := range all {
		list[i] = written{c.ID, c.Source}
		t.add(c.Attributes.Name, c.Attributes.OrgID, c.ID.ID)
	}
	s.printAll(list, "there are no companies", t.write)
	return nil
}
