package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/internal/admin"
	"weir/internal/config"
)

func newSet() *cobra.Command {
	c := &cobra.Command{
		Use: "set", Short: "Change a server or a limit of a running weir",
		Long: `Change the running process; the file stays as it is. A server's state and weight last as long as the process, or
until a reload brings a server of another address or a changed weight; its max-conn, and limits, last until the next
reload. An upgrade begins with what the file says.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("cannot set %q; there are: server, limits", args[0])
			}
			return usage("what is to be set is missing; there are: server, limits")
		},
	}
	c.AddCommand(
		setter(&cobra.Command{
			Use:   "server BACKEND/SERVER state|weight|max-conn VALUE",
			Short: "Set a server's state, weight or max-conn",
			Long: `Set a server's state, weight or max-conn.

  state     ready, drain (only clients that are tied to it) or maint (nothing)
  weight    share of new sessions, 0 to 256
  max-conn  requests in flight, 0 unlimited`,
			Example:           "  weir set server api/s1 state drain\n  weir set server api/s1 weight 10",
			ValidArgsFunction: words(nil, serverKeys, serverStates),
		}, checkServer),
		setter(&cobra.Command{
			Use:               "limits PROFILE KEY VALUE",
			Short:             "Set a key of a limit profile, wherever it is attached",
			Example:           "  weir set limits edge max-conn 50000\n  weir set limits edge queue-timeout 2s",
			ValidArgsFunction: words(nil, limitKeys()),
		}, checkLimits))
	return c
}

// What can be set of a server, and its states.
var (
	serverKeys   = []string{"state", "weight", "max-conn"}
	serverStates = []string{"ready", "drain", "maint"}
)

// checkServer finds what is wrong with the words of `weir set server` whatever the running weir is. Which servers there are
// and how much is too much is known there.
func checkServer(args []string) error {
	name, key, value := args[0], args[1], args[2]
	if cut := strings.LastIndexByte(name, '/'); cut <= 0 || cut == len(name)-1 {
		return usage("%q is not BACKEND/SERVER", name)
	}
	if !slices.Contains(serverKeys, key) {
		return usage("cannot set %q of a server; there are: %s", key, strings.Join(serverKeys, ", "))
	}
	if key == "state" {
		if !slices.Contains(serverStates, value) {
			return usage("unknown state %q; there are: %s", value, strings.Join(serverStates, ", "))
		}
		return nil
	}
	if _, err := strconv.Atoi(value); errors.Is(err, strconv.ErrSyntax) {
		return usage("%s %q is not a number", key, value)
	}
	return nil
}

// checkLimits does so for `weir set limits`.
func checkLimits(args []string) error {
	if !slices.Contains(limitKeys(), args[1]) {
		return usage("cannot set %q of a limit profile; there are: %s", args[1], strings.Join(limitKeys(), ", "))
	}
	return nil
}

// setter completes a command that passes its words on.
func setter(c *cobra.Command, check func(args []string) error) *cobra.Command {
	var t target
	c.Args = cobra.ExactArgs(3)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := check(args); err != nil {
			return err
		}
		_, err := t.ask(c, admin.Request{Cmd: "set", Args: append([]string{c.Name()}, args...)})
		return err
	}
	t.addFlags(c)
	return c
}

// setWords are what stands before the value of a `weir set` command.
const setWords = 2

// shielded keeps the value of a `weir set` command from being read as a flag: a negative number is the running weir's to refuse,
// with its reason. What is a flag of the command stays one.
func shielded(root *cobra.Command, args []string) []string {
	c, rest, err := root.Find(args)
	if err != nil || c.Parent() == nil || c.Parent().Name() != "set" || slices.Contains(rest, "--") {
		return args
	}
	var flags, words []string
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		known, takesNext := flagOf(c, arg)
		switch {
		case len(arg) < 2 || arg[0] != '-' || !known && len(words) == setWords:
			words = append(words, arg)
		case takesNext && i+1 < len(rest):
			flags = append(flags, arg, rest[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	return slices.Concat([]string{"set", c.Name()}, flags, []string{"--"}, words)
}

// flagOf reports whether a word is one of the command's flags, and whether the next word is its value.
func flagOf(c *cobra.Command, arg string) (known, takesNext bool) {
	c.InitDefaultHelpFlag()
	name, long := strings.CutPrefix(arg, "--")
	name, _, joined := strings.Cut(name, "=")
	f := c.Flags().Lookup(name)
	if !long && len(arg) > 1 && arg[0] == '-' {
		f = c.Flags().ShorthandLookup(arg[1:2])
		joined = len(arg) > 2
	}
	return f != nil, f != nil && !joined && f.NoOptDefVal == ""
}

// words completes each argument from a list of its own; nil is any word.
func words(lists ...[]string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(lists) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return lists[len(args)], cobra.ShellCompDirectiveNoFileComp
	}
}

// limitKeys are the keys of a limit profile, for completion.
func limitKeys() (keys []string) {
	for _, s := range config.Schema() {
		if s.Name == "[limits.NAME]" {
			for _, k := range s.Keys {
				keys = append(keys, k.Name)
			}
		}
	}
	return keys
}
