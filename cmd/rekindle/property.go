package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rekindle-dev/rekindle/services/api/client"
)

func newProperty() *cobra.Command {
	return group(cobra.Command{
		Use:   "property",
		Short: "Make, see and delete properties, which hold secrets and environments",
	}, func(c *cobra.Command, r *remote) {
		c.AddCommand(newPropertyCreate(r), newPropertyList(r), newPropertyGet(r), newPropertyDelete(r))
	})
}

func newPropertyCreate(r *remote) *cobra.Command {
	var company string
	c := r.command(cobra.Command{
		Use:     "create NAME",
		Short:   "Make a property",
		Example: "  rekindle property create shop",
	}, oneName, func(ctx context.Context, s *session, args []string) error {
		parent, err := s.companyOf(ctx, company)
		if err != nil {
			return err
		}
		p, err := s.client.CreateProperty(ctx, parent.ID.ID, args[0])
		if err != nil {
			return err
		}
		s.printProperty(p)
		return nil
	})
	c.Flags().StringVar(&company, "company", "", "name or id of the company; may be left out when there is just one")
	r.complete(c, "company", (*session).companyNames)
	return c
}

func newPropertyList(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:     "list",
		Short:   "List properties",
		Example: "  rekindle property list",
	}, noName, func(ctx context.Context, s *session, _ []string) error {
		all, err := s.properties(ctx, nil)
		if err != nil {
			return err
		}
		sortByName(all, callProperty)
		list, t := make([]written, len(all)), table{head: []string{"NAME", "ID", "CREATED"}}
		for i, p := range all {
			list[i] = written{p.ID, p.Source}
			t.add(p.Attributes.Name, p.ID.ID, relative(&p.Attributes.CreatedAt, s.now()))
		}
		s.printAll(list, "there is no property yet: make one with rekindle property create", t.write)
		return nil
	})
}

func newPropertyGet(r *remote) *cobra.Command {
	return r.command(cobra.Command{
		Use:               "get NAME",
		Short:             "Show a property",
		Example:           "  rekindle property get shop",
		ValidArgsFunction: r.completion((*session).propertyNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		p, err := s.propertyOf(ctx, args[0])
		if err != nil {
			return err
		}
		s.printProperty(p)
		return nil
	})
}

func newPropertyDelete(r *remote) *cobra.Command {
	var yes bool
	c := r.command(cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a property with all its environments and secrets",
		Example:           "  rekindle property delete shop",
		ValidArgsFunction: r.completion((*session).propertyNames),
	}, oneRef, func(ctx context.Context, s *session, args []string) error {
		p, err := s.propertyOf(ctx, args[0])
		if err != nil {
			return err
		}
		question := fmt.Sprintf("delete the property %s, all its environments and all its secrets?", callProperty(p))
		if err := s.confirm(ctx, yes, question); err != nil {
			return err
		}
		return s.client.DeleteProperty(ctx, p.ID.ID)
	})
	bindYes(c, &yes)
	return c
}

func (s *session) printProperty(p client.Property) {
	s.print(written{p.ID, p.Source}, func(w io.Writer) {
		var t sheet
		t.add("name", p.Attributes.Name)
		t.add("id", p.ID.ID)
		t.add("platform", p.Attributes.Platform)
		t.add("company", p.Relationships.Company.ID())
		t.add("created", moment(&p.Attributes.CreatedAt, s.now()))
		t.write(w)
	})
}
