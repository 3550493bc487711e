package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/internal/config"
	"weir/internal/stats"
	"weir/pool"
)

// lineRig is a server with nothing but its line.
func lineRig(multiplex bool) (*server, func(need pool.Need, s *session) *exchange) {
	be := &backend{cfg: &config.Backend{Reuse: config.ReuseSafe, Multiplex: multiplex}}
	srv := &server{be: be}
	return srv, func(need pool.Need, s *session) *exchange {
		x := &exchange{s: s}
		x.way.backend, x.way.server, x.way.need = be, srv, need
		return x
	}
}

// Random comings and goings: everybody stands in the line once, in the order in which they came, and the counts are right.
func TestWaitLineKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		srv, waiter := lineRig(true)
		var riders, owners []*exchange
		sharing := map[*exchange]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch in := slices.Concat(riders, owners); {
			case len(in) == 0 || rapid.Bool().Draw(t, "comes"):
				x := waiter(rapid.SampledFrom([]pool.Need{pool.Never, pool.Proven, pool.Any}).Draw(t, "need"), &session{})
				if rapid.Bool().Draw(t, "shares") {
					srv.awaitShared(x)
					sharing[x] = true
				} else {
					srv.await(x)
				}
				if x.way.need == pool.Never {
					owners = append(owners, x)
				} else {
					riders = append(riders, x)
				}
			default:
				x := rapid.SampledFrom(in).Draw(t, "goes")
				srv.unawait(x)
				srv.unawait(x) // once more changes nothing
				delete(sharing, x)
				gone := func(y *exchange) bool { return x == y }
				riders, owners = slices.DeleteFunc(riders, gone), slices.DeleteFunc(owners, gone)
				if x.way.awaits() {
					t.Fatal("it still waits")
				}
			}
			var got []*exchange
			srv.line.all(func(x *exchange) bool {
				got = append(got, x)
				return x.way.awaits()
			})
			if want := slices.Concat(riders, owners); !slices.Equal(got, want) || srv.line.len() != len(want) {
				t.Fatalf("the line has %d of %d, counts %d", len(got), len(want), srv.line.len())
			}
			if n := srv.line.riders.sharing + srv.line.owners.sharing; n != len(sharing) {
				t.Fatalf("%d share, counted %d", len(sharing), n)
			}
		}
	})
}

func TestWaiterForAConnection(t *testing.T) {
	srv, waiter := lineRig(true)
	conn := func(uses int, owner *session) *backConn {
		c := &backConn{srv: srv, owner: owner}
		for range uses {
			c.node.Recycle.Use()
		}
		return c
	}
	want := func(why string, c *backConn, x *exchange) {
		t.Helper()
		if got := srv.waiterFor(c); got != x {
			t.Errorf("%s: %p, want %p", why, got, x)
		}
	}
	h1, h2 := &session{proto: stats.H1}, &session{proto: stats.H2}
	first, rider, second := waiter(pool.Never, h1), waiter(pool.Any, h1), waiter(pool.Never, h2)
	want("nobody waits", conn(0, nil), nil)
	for _, x := range []*exchange{first, rider, second} {
		srv.await(x)
	}
	want("fresh: whoever came first", conn(0, nil), first)
	want("used: who may ride", conn(1, nil), rider)
	srv.unawait(first)
	want("fresh: a rider, when it came first", conn(0, nil), rider)
	srv.unawait(rider)
	want("fresh", conn(0, nil), second)
	want("used, and nobody may ride", conn(1, nil), nil)

	srv, waiter = lineRig(false) // every connection is private
	mine, yours := waiter(pool.Any, h2), waiter(pool.Any, &session{proto: stats.H2})
	mine.s.id, yours.s.id = 1, 2
	own := conn(0, h2)
	own.node.Init(own, pool.Key{Owner: 1})
	own.node.Recycle.Use()
	srv.await(yours)
	want("another session's", own, nil)
	srv.await(mine)
	want("the session's own", own, mine)
}
