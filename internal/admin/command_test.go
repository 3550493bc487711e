package admin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"weir/internal/stats"
)

func TestCommandsReachTheEngine(t *testing.T) {
	f := newFake()
	close(f.hold)
	c := dial(t, serveSocket(t, f))
	for _, v := range []struct{ line, want string }{
		{"reload", "reload"},
		{"drain", "drain"},
		{"stop", "stop"},
		{"upgrade", "upgrade"},
		{"set server api/s1 state drain", "state api s1 drain"},
		{"set server a/b/s1 weight 0", "weight a/b s1 0"},
		{"set server api/s1 max-conn 50", "max-conn api s1 50"},
		{"set limits edge max-conn 5", "limit edge max-conn 5"},
		{"show servers conn", "snapshot"},
		{"show sessions", "sessions 10000"},
		{"show sessions 1", "sessions 1"},
		{"snapshot", "snapshot"},
	} {
		w := strings.Fields(v.line)
		if rsp := do(t, c, w[0], w[1:]...); !rsp.OK {
			t.Errorf("%s: refused: %s", v.line, rsp.Reason)
		}
		if got := f.last(); got != v.want {
			t.Errorf("%s: engine was told %q, want %q", v.line, got, v.want)
		}
	}
}

func TestReloadTellsBothGenerations(t *testing.T) {
	c := dial(t, serveSocket(t, newFake()))
	rsp := do(t, c, "reload")
	if g, err := rsp.Generations(); err != nil || g != (Generations{7, 8}) {
		t.Errorf("generations %v, %v, want 7 and 8", g, err)
	}
}

func TestRefusalCarriesTheEnginesReason(t *testing.T) {
	f := newFake()
	f.refuse = errors.New("weir.toml:3:1: error: unknown key")
	c := dial(t, serveSocket(t, f))
	for _, cmd := range []string{"reload", "upgrade", "show servers conn", "show sessions", "snapshot", "set limits a b c"} {
		w := strings.Fields(cmd)
		if rsp := do(t, c, w[0], w[1:]...); rsp.OK || rsp.Reason != f.refuse.Error() {
			t.Errorf("%s: %+v, want the engine's reason", cmd, rsp)
		}
	}
}

func TestWrongCommandsAreRefusedBeforeTheEngine(t *testing.T) {
	f := newFake()
	c := dial(t, serveSocket(t, f))
	for _, v := range []struct{ line, reason string }{
		{"fly", "unknown command"},
		{"reload now", "no arguments"},
		{"show", "cannot show"},
		{"show everything", "cannot show"},
		{"show sessions all", "number"},
		{"show sessions 0", "number"},
		{"set", "set takes"},
		{"set pool api/s1 state ready", "cannot set"},
		{"set server api state ready", "not BACKEND/SERVER"},
		{"set server /s1 state ready", "not BACKEND/SERVER"},
		{"set server api/ state ready", "not BACKEND/SERVER"},
		{"set server api/s1 state up", "unknown state"},
		{"set server api/s1 weight -1", "not a number"},
		{"set server api/s1 max-conn many", "not a number"},
		{"set server api/s1 name x", "cannot set"},
	} {
		w := strings.Fields(v.line)
		if rsp := do(t, c, w[0], w[1:]...); rsp.OK || !strings.Contains(rsp.Reason, v.reason) {
			t.Errorf("%s: %+v, want a refusal with %q", v.line, rsp, v.reason)
		}
	}
	if got := f.last(); got != "" {
		t.Errorf("engine was told %q", got)
	}
}

func TestEveryViewHasTextAndJSON(t *testing.T) {
	c := dial(t, serveSocket(t, newFake()))
	for _, view := range Views {
		w := strings.Fields(view)
		if text := do(t, c, "show", w...); !text.OK || !strings.HasSuffix(text.Text(), "\n") {
			t.Errorf("show %s: %+v", view, text)
		}
		rsp, err := c.Do(context.Background(), Request{Cmd: "show", Args: w, JSON: true})
		if err != nil || !rsp.OK || !json.Valid(rsp.Data) || rsp.Data[0] == '"' {
			t.Errorf("show %s --json: %+v %v", view, rsp, err)
		}
	}
}

func TestSnapshotComesBackWhole(t *testing.T) {
	f := newFake()
	c := dial(t, serveSocket(t, f))
	rsp := do(t, c, "snapshot")
	var back stats.Snapshot
	if err := json.Unmarshal(rsp.Data, &back); err != nil {
		t.Fatal(err)
	}
	if got, want := RenderBackends(&back), RenderBackends(f.snapshot); got != want {
		t.Errorf("after the wire:\n%s\nwant:\n%s", got, want)
	}
}
