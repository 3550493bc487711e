package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"weir/internal/admin"
	"weir/internal/stats"
)

// topIntervalMin keeps a terminal from becoming a load.
const topIntervalMin = 100 * time.Millisecond

func newTop() *cobra.Command {
	var t target
	var once, asJSON bool
	var interval time.Duration
	c := &cobra.Command{
		Use: "top", Short: "Live view of a running weir", Args: noArgs,
		Long: `Live view of a running weir, until Ctrl-C or q. With --once two looks are taken, an interval apart, and printed once.`,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case interval < topIntervalMin:
				return usage("--interval must be at least %v", topIntervalMin)
			case asJSON && !once:
				return usage("--json needs --once")
			}
			client, err := t.dial()
			if err != nil {
				return err
			}
			defer client.Close()
			look := func(ctx context.Context) (*stats.Snapshot, error) { return takeSnapshot(ctx, client) }
			if once {
				return refused(topOnce(c.Context(), look, interval, asJSON, c.OutOrStdout()))
			}
			return refused(topLive(c.Context(), look, interval, os.Stdin, os.Stdout))
		},
	}
	c.Flags().BoolVar(&once, "once", false, "print one view and end")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (with --once)")
	c.Flags().DurationVar(&interval, "interval", time.Second, "`time` between two looks")
	t.addFlags(c)
	return c
}

// looker takes a snapshot of a running weir.
type looker func(context.Context) (*stats.Snapshot, error)

func takeSnapshot(ctx context.Context, client *admin.Client) (*stats.Snapshot, error) {
	rsp, err := client.Do(ctx, admin.Request{Cmd: "snapshot"})
	if err != nil {
		return nil, err
	}
	if !rsp.OK {
		return nil, fmt.Errorf("%s", rsp.Reason)
	}
	s := new(stats.Snapshot)
	return s, json.Unmarshal(rsp.Data, s)
}

func topOnce(ctx context.Context, look looker, interval time.Duration, asJSON bool, out io.Writer) error {
	old, err := look(ctx)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(interval):
	}
	now, err := look(ctx)
	if err != nil {
		return err
	}
	f := newFrame(old, now)
	if asJSON {
		return writeJSON(out, f)
	}
	_, err = io.WriteString(out, strings.Join(f.screen(0, 0), "\n")+"\n")
	return err
}

// topLive redraws until the user has seen enough. It belongs to the terminal, not to a command's output.
func topLive(ctx context.Context, look looker, interval time.Duration, in, out *os.File) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer stop()
	term, err := openTerminal(in, out)
	if err != nil {
		return err
	}
	defer term.close()
	old, err := look(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	wait := time.After(min(interval, 250*time.Millisecond)) // the first view comes soon
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-term.keys:
			if key == 'q' || key == 'Q' || key == 3 {
				return nil
			}
			continue
		case <-wait:
		case <-tick.C:
		}
		wait = nil
		now, err := look(ctx)
		if err != nil {
			return err
		}
		width, height := term.size()
		term.draw(newFrame(old, now).screen(width, height))
		old = now
	}
}
