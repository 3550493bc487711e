package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/internal/admin"
)

func newShow() *cobra.Command {
	var t target
	var asJSON bool
	c := &cobra.Command{
		Use:   "show WHAT",
		Short: "Show what a running weir does: " + strings.Join(admin.Views, ", "),
		Long: `Show what a running weir does.

  servers conn   connections to each server, by worker
  stat           what went through every frontend, backend and server
  info           the process
  limits         every axis of every limit profile: current value, maximum, hits
  sessions [N]   client connections, at most N of them
  backends       backends with queues and latencies
  config         the configuration in force, defaults filled in
  errors         the last failures`,
		Example:           "  weir show servers conn\n  weir show limits --json",
		ValidArgsFunction: words(firstWords(), []string{"conn"}),
		Args:              cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if what := strings.Join(args, " "); args[0] != "sessions" && !slices.Contains(admin.Views, what) {
				return usage("cannot show %q; there are: %s", what, strings.Join(admin.Views, ", "))
			}
			if args[0] == "sessions" && len(args) > 1 {
				if n, err := strconv.Atoi(args[1]); err != nil || n < 1 || len(args) > 2 {
					return usage("show sessions takes at most a number above 0")
				}
			}
			rsp, err := t.ask(c, admin.Request{Cmd: "show", Args: args, JSON: asJSON})
			if err != nil {
				return err
			}
			return writeData(c.OutOrStdout(), &rsp, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	t.addFlags(c)
	return c
}

// firstWords are the words by which the views begin, for completion.
func firstWords() (first []string) {
	for _, v := range admin.Views {
		first = append(first, strings.Fields(v)[0])
	}
	return first
}
