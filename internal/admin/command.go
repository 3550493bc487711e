package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/internal/stats"
)

// The commands of the runtime socket, as Request has them:
//
//	show     servers conn | stat | info | limits | sessions [MAX] | backends | config | errors
//	snapshot (always JSON: a stats.Snapshot)
//	reload · drain · stop · upgrade           Data is Generations
//	set      server B/S state ready|drain|maint · server B/S weight N · server B/S max-conn N · limits PROFILE KEY VALUE
//	ping                                      Data is nothing

// snapshotTime is how long the workers get to hand their cells over. One that takes longer is stuck.
const snapshotTime = 5 * time.Second

// sessionsMax bounds a list of sessions that was not bounded by who asked.
const sessionsMax = 10_000

// control does what clients ask for. It holds nothing but the engine.
type control struct {
	engine Engine
	turn   chan struct{} // capacity 1: one question to all workers at a time, however many ask
}

func newControl(e Engine) *control { return &control{engine: e, turn: make(chan struct{}, 1)} }

// run does one command. It never fails: what went wrong is a refusal.
func (c *control) run(ctx context.Context, r Request) Response {
	switch r.Cmd {
	case "ping":
		return c.noArgs(r, func() Response { return Response{OK: true} })
	case "show":
		return c.show(ctx, r)
	case "snapshot":
		return c.noArgs(r, func() Response { return c.snapshotResponse(ctx) })
	case "reload":
		return c.noArgs(r, func() Response { return change(c.engine.Reload(ctx)) })
	case "drain":
		return c.noArgs(r, func() Response { return change(c.engine.Drain(ctx)) })
	case "stop":
		return c.noArgs(r, func() Response { return change(c.engine.Stop(ctx)) })
	case "upgrade":
		return c.noArgs(r, func() Response { return change(c.engine.Upgrade(ctx)) })
	case "set":
		if err := c.set(ctx, r.Args); err != nil {
			return refusal(err)
		}
		return Response{OK: true}
	}
	return refusal(fmt.Errorf("unknown command %q", r.Cmd))
}

func (c *control) noArgs(r Request, do func() Response) Response {
	if len(r.Args) > 0 {
		return refusal(fmt.Errorf("%s takes no arguments", r.Cmd))
	}
	return do()
}

func change(oldGen, newGen uint64, err error) Response {
	if err != nil {
		return refusal(err)
	}
	return done(Generations{Old: oldGen, New: newGen})
}

// snapshot asks the workers for their cells, after everyone who asked before.
func (c *control) snapshot(ctx context.Context) (*stats.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, errors.New("the workers did not answer in time")
	}
	return c.engine.Snapshot(ctx)
}

func (c *control) snapshotResponse(ctx context.Context) Response {
	s, err := c.snapshot(ctx)
	if err != nil {
		return refusal(err)
	}
	return done(s)
}

func (c *control) sessions(ctx context.Context, args []string) ([]stats.Session, error) {
	n := sessionsMax
	if len(args) > 0 {
		var err error
		if n, err = strconv.Atoi(args[0]); err != nil || n < 1 || len(args) > 1 {
			return nil, errors.New("show sessions takes at most a number above 0")
		}
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	return c.engine.Sessions(ctx, n)
}

// set changes the running process.
func (c *control) set(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("set takes: server BACKEND/SERVER state|weight|max-conn VALUE, or: limits PROFILE KEY VALUE")
	}
	switch args[0] {
	case "limits":
		return c.engine.SetLimit(ctx, args[1], args[2], args[3])
	case "server":
		return c.setServer(ctx, args[1], args[2], args[3])
	}
	return fmt.Errorf("cannot set %q; there are: server, limits", args[0])
}

func (c *control) setServer(ctx context.Context, name, key, value string) error {
	// A server's name holds no slash, a backend's may.
	cut := strings.LastIndexByte(name, '/')
	if cut <= 0 || cut == len(name)-1 {
		return fmt.Errorf("%q is not BACKEND/SERVER", name)
	}
	backend, server := name[:cut], name[cut+1:]
	switch key {
	case "state":
		if value != "ready" && value != "drain" && value != "maint" {
			return fmt.Errorf("unknown state %q; there are: ready, drain, maint", value)
		}
		return c.engine.SetServerState(ctx, backend, server, value)
	case "weight", "max-conn":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%s %q is not a number of at least 0", key, value)
		}
		if key == "weight" {
			return c.engine.SetServerWeight(ctx, backend, server, n)
		}
		return c.engine.SetServerMaxConn(ctx, backend, server, n)
	}
	return fmt.Errorf("cannot set %q of a server; there are: state, weight, max-conn", key)
}

// lines is the protocol of the runtime socket.
type lines struct{ control *control }

func (l *lines) next(in []byte) (int, task) {
	end := bytes.IndexByte(in, '\n')
	if end < 0 && len(in) <= requestBytesMax {
		return 0, nil
	}
	if end < 0 {
		return len(in), func(context.Context) ([]byte, fate) { return answerLine(refusal(errRequestTooLong)), linger }
	}
	r, err := decodeRequest(in[:end])
	if err != nil {
		// Who sends one bad line does not speak this protocol; the next line is not worth reading.
		return end + 1, func(context.Context) ([]byte, fate) { return answerLine(refusal(err)), linger }
	}
	return end + 1, func(ctx context.Context) ([]byte, fate) { return answerLine(l.control.run(ctx, r)), keepOpen }
}

func answerLine(r Response) []byte {
	line, err := encodeLine(r)
	if err != nil {
		// Data is JSON that this package has made.
		panic("admin: response that is no JSON: " + err.Error())
	}
	return line
}
