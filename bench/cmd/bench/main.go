// Command bench measures weir against other proxies and against the floor. See docs/performance.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// command is one subcommand.
type command struct {
	name, about string
	run         func(ctx context.Context, args []string) error
}

var commands = []command{
	{"run", "measure everything and write a report", measureFull},
	{"quick", "the same, in under two minutes and with fewer scenarios", measureQuick},
	{"compare", "say what changed between two reports beyond the noise", compare},
	{"list", "list scenarios and contenders", list},
	{"origin", "run the origin (used by run)", runOrigin},
	{"load", "run the load generator: a job on standard input, results on standard output (used by run)", runLoad},
	{"relay", "run the floor: a relay without HTTP (used by run)", runRelay},
}

// The exit statuses.
const (
	exitFailed   = 1 // something failed: the bench, or a contender in a row
	exitUsage    = 2
	exitWorsened = 3 // compare: something got worse
)

// errUsage has been explained already.
var errUsage = errors.New("usage")

// exitError ends the process with a status of its own and without another word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	os.Exit(dispatch(context.Background(), os.Args[1:]))
}

func dispatch(ctx context.Context, args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(os.Stdout)
		return 0
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:])
		var status exitError
		switch {
		case err == nil || errors.Is(err, flag.ErrHelp):
			return 0
		case errors.Is(err, errUsage):
			return exitUsage
		case errors.As(err, &status):
			return int(status)
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		return exitFailed
	}
	fmt.Fprintf(os.Stderr, "bench: no command %q\n", args[0])
	usage(os.Stderr)
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: bench COMMAND [FLAGS]")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.about)
	}
}

// flags is a flag set whose errors count as usage errors.
func flags(name string) *flag.FlagSet { return flag.NewFlagSet("bench "+name, flag.ContinueOnError) }

func parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	return nil
}

func printJSON(v any) { json.NewEncoder(os.Stdout).Encode(v) }
