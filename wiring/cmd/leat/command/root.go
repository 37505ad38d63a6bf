package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const (
	groupService = "service"
	groupClient  = "client"
)

func (a App) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "leat",
		Short: "Leat carries a domain's events to everything that must happen because of them",
		Long: `Leat carries a domain's events to everything that must happen because of them.

Data goes to stdout, everything else to stderr. Exit codes: 0 ok, 1 failure, 2 usage,
3 not allowed, 4 not found, 5 rejected, 6 unavailable.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.AddGroup(
		&cobra.Group{ID: groupService, Title: "Run the service:"},
		&cobra.Group{ID: groupClient, Title: "Talk to a running server (--server, --token-file):"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupService, a.serve(), a.migrate(), a.config())
	add(groupClient, a.publish(), a.tail(), a.events(), a.deadLetters(), a.handlers())
	root.AddCommand(a.version())
	return root
}

// family is a command that only holds others.
func family(use, short string, members ...*cobra.Command) *cobra.Command {
	var names []string
	for _, m := range members {
		names = append(names, m.Name())
	}
	c := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			problem := "lacks a command"
			if len(args) > 0 {
				problem = fmt.Sprintf("has no command %q", args[0])
			}
			return usage("%s %s; want one of %s", cmd.CommandPath(), problem, strings.Join(names, ", "))
		},
	}
	c.AddCommand(members...)
	return c
}
