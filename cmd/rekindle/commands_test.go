package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rekindle-dev/rekindle/pkg/config"
)

var update = flag.Bool("update", false, "write the generated part of "+commandsPage)

const (
	commandsPage = "../../docs/commands.md"
	generated    = "<!-- from here on written by go test ./cmd/rekindle -run TestCommandsPage -update -->\n"
)

// TestCommandsPage compares the page with the commands that ask a server, each
// with its help, examples and flags.
func TestCommandsPage(t *testing.T) {
	page, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, got, ok := strings.Cut(string(page), generated)
	if !ok {
		t.Fatalf("%s has no line %q", commandsPage, generated)
	}
	want := describeCommands(newRoot())
	if *update {
		if err := os.WriteFile(commandsPage, []byte(head+generated+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the program says; to write it: go test ./cmd/rekindle -run TestCommandsPage -update\n(-program +page):\n%s", commandsPage, diff)
	}
}

func describeCommands(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("\n## Global flags\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n")
	newSecret().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		fmt.Fprintf(&b, "| %s | `%s` |%s| %s |\n", flagName(f), config.EnvName(envPrefix, f.Name), defaultCell(f), cell(f.Usage))
	})
	for _, group := range root.Commands() {
		if !group.HasSubCommands() {
			if slices.Contains([]string{"import", "export", "keygen", "seal"}, group.Name()) {
				describe(&b, "##", group)
			}
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", group.CommandPath(), sentences(group))
		for _, c := range group.Commands() {
			describe(&b, "###", c)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, level string, c *cobra.Command) {
	fmt.Fprintf(b, "\n"+level+" %s\n\n%s\n\n```sh\n%s\n```\n", c.CommandPath(), sentences(c), strings.ReplaceAll(c.Example[2:], "\n  ", "\n"))
	if !c.LocalNonPersistentFlags().HasAvailableFlags() {
		return
	}
	b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		fmt.Fprintf(b, "| %s |%s| %s |\n", flagName(f), defaultCell(f), cell(f.Usage))
	})
}

func sentences(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return fmt.Sprintf("`--%s`, `-%s`", f.Name, f.Shorthand)
	}
	return fmt.Sprintf("`--%s`", f.Name)
}

func defaultCell(f *pflag.Flag) string {
	if value := defaultOf(f); value != "" && value != "false" {
		return fmt.Sprintf(" `%s` ", value)
	}
	return " "
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// TestCommandsAreExplained: every command says what it does and shows how, and
// none takes what is hidden from the command line.
func TestCommandsAreExplained(t *testing.T) {
	t.Parallel()
	hidden := []string{"token", "password", "client-secret", "private-key"}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || c.HasParent() && c.Runnable() && !c.HasSubCommands() && c.Name() != "demo" && !strings.HasPrefix(c.Example, "  rekindle") {
			t.Errorf("%s lacks a short description or examples", c.CommandPath())
		}
		for _, name := range hidden {
			if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
				t.Errorf("%s has a flag --%s, which everyone on the machine sees", c.CommandPath(), name)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
}
