package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// outlives is for processes that are to drain for as long as a test likes.
const outlives = "workers = 3\nhard-stop-after = \"10m\""

// succession is a service that processes take over from one another, and clients that do not notice.
type succession struct {
	t       *testing.T
	w       *weir
	pids    []int
	stop    atomic.Bool
	clients sync.WaitGroup
	served  atomic.Int64
}

func newSuccession(t *testing.T, clients int) *succession {
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, global: outlives, backend: `reuse = "always"`})
	s := &succession{t: t, w: w, pids: []int{w.pid()}}
	t.Cleanup(func() { s.stop.Store(true); s.clients.Wait() })
	for i := range clients {
		s.clients.Go(func() { s.load(byte(i)) })
	}
	s.goesOn()
	return s
}

// load asks for echoes, a few on each connection, until the end.
func (s *succession) load(seed byte) {
	const size = 100_000
	body, _ := io.ReadAll(noise(seed, size))
	for !s.stop.Load() {
		c := s.w.h3Client(s.t)
		for range 3 {
			// A body that can be sent again: a request that is rejected in a goodbye is.
			rsp, err := c.Post("https://a.example/", "application/octet-stream", bytes.NewReader(body))
			if err == nil {
				err = wantSum("echo", rsp.Body, seed, size)
				_ = rsp.Body.Close()
			}
			if err != nil {
				s.t.Errorf("a client under load: %v", err)
				return
			}
			s.served.Add(1)
		}
		c.close()
	}
}

// goesOn waits until every client has been served since.
func (s *succession) goesOn() {
	s.t.Helper()
	before := s.served.Load()
	for _, what := range []string{"some clients are served", "more are", "many are"} {
		before += 8
		eventually(s.t, what, func() bool { return s.served.Load() > before || s.t.Failed() })
	}
}

// upgrade starts the next process.
func (s *succession) upgrade(by string) {
	s.t.Helper()
	s.w.told = true // the first process ends by itself
	last := s.pids[len(s.pids)-1]
	if by == "signal" {
		_ = syscall.Kill(last, syscall.SIGUSR2)
		eventually(s.t, "another process answers", func() bool {
			status, _, _ := s.w.run("show", "info")
			return status == 0 && s.w.pid() != last
		})
	} else if out := s.w.done("upgrade"); !strings.HasPrefix(out, "upgraded: ") {
		s.t.Errorf("%q", out)
	}
	s.pids = append(s.pids, s.w.pid())
}

// uploads are requests under way in the process that is the last one now.
func (s *succession) uploads(n int) (list []*upload) {
	for range n {
		list = append(list, s.w.h3Client(s.t).upload(s.t))
	}
	return list
}

func goOn(why string, lists ...[]*upload) {
	for _, l := range lists {
		for i, u := range l {
			u.goesOn(fmt.Sprintf("%s %d", why, i))
		}
	}
}

func endAll(list []*upload) {
	for _, u := range list {
		u.ends()
	}
}

// wantGone waits for a process to end.
func (s *succession) wantGone(i int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("process %d ends", i), func() bool { return syscall.Kill(s.pids[i], 0) != nil })
}

// finish ends the load and the last process.
func (s *succession) finish() {
	s.t.Helper()
	s.stop.Store(true)
	s.clients.Wait()
	s.w.done("drain")
	eventually(s.t, "every process has ended", func() bool { return strings.Count(s.w.log.String(), "msg=over") == len(s.pids) })
}

// An upgrade leaves QUIC connections where they are: requests under way go on in the old process, new clients come to the
// new one, also after the old one has ended and its sockets have gone.
func TestUpgradeKeepsQUIC(t *testing.T) {
	t.Parallel()
	s := newSuccession(t, 6)
	before := s.uploads(6)
	s.upgrade("command")
	goOn("after the upgrade", before)
	after := s.uploads(6)
	s.goesOn()
	goOn("beside new clients", before, after)
	endAll(before)
	s.wantGone(0)
	s.goesOn()
	goOn("after the end of the old process", after)
	endAll(after)
	s.finish()
}

// Three processes at once, of which the middle one ends first: what is kept of its sockets and those of the first one has to
// stay where it is as long as either lives.
func TestUpgradeTwiceKeepsQUIC(t *testing.T) {
	t.Parallel()
	s := newSuccession(t, 4)
	ones := s.uploads(4)
	s.upgrade("command")
	twos := s.uploads(4)
	s.upgrade("signal")
	threes := s.uploads(4)
	s.goesOn()
	goOn("beside two others", ones, twos, threes)
	endAll(twos)
	s.wantGone(1)
	s.goesOn()
	goOn("after the second has ended", ones, threes)
	endAll(ones)
	s.wantGone(0)
	s.goesOn()
	s.upgrade("command")
	fours := s.uploads(4)
	goOn("in the fourth", threes, fours)
	endAll(threes)
	s.wantGone(2)
	s.goesOn()
	goOn("after all others have ended", fours)
	endAll(fours)
	s.finish()
}

// A process that was to come next and fails, after it has joined the sockets, leaves everything to the one that is there. The
// next attempt succeeds.
func TestFailedUpgradeKeepsQUIC(t *testing.T) {
	t.Parallel()
	s := newSuccession(t, 4)
	before := s.uploads(6)
	taken, err := net.Listen("tcp", newHost()+":9911")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := s.w.setup.text(s.w.host)
	s.w.write(strings.Replace(text, s.w.host+":9911", taken.Addr().String(), 1))
	if status, out, errs := s.w.run("upgrade"); status != 1 || !strings.Contains(errs, "the new process cannot serve: admin listener: ") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	goOn("after the failure", before)
	s.goesOn()
	again := s.uploads(6)
	s.w.write(text)
	s.upgrade("command")
	after := s.uploads(6)
	goOn("after the upgrade", before, again, after)
	endAll(before)
	endAll(again)
	s.wantGone(0)
	goOn("after the end of the old process", after)
	endAll(after)
	s.finish()
}

// An address that the new process does not want at first, and later does, is opened anew.
func TestUpgradeDropsAnAddress(t *testing.T) {
	t.Parallel()
	second := "[frontend.two]\nbind = [{ address = \"$HOST:8081\", tls = \"site\", h3 = true }]\nbackend = \"api\"\n"
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, tables: second, backend: `reuse = "always"`})
	ask := func(why string, c *h3Client) {
		t.Helper()
		rsp, err := c.Post("https://a.example/", "text/plain", strings.NewReader(why))
		if err != nil {
			t.Fatal(why, err)
		}
		if b, err := io.ReadAll(rsp.Body); err != nil || string(b) != why {
			t.Errorf("%s: %q %v", why, b, err)
		}
		_ = rsp.Body.Close()
		c.close()
	}
	two, err := net.ResolveUDPAddr("udp4", w.host+":8081")
	if err != nil {
		t.Fatal(err)
	}
	ask("at first", h3ClientTo(t, two))
	w.rewrite(func(s *setup) { s.tables = "" })
	w.told = true // it will end by itself
	w.done("upgrade")
	w.wantEnd()
	ask("in the new process", w.h3Client(t))
	w.rewrite(func(s *setup) { s.tables = second })
	w.reload()
	ask("again", h3ClientTo(t, two))
	if c, err := net.Dial("tcp", two.String()); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	w.done("drain")
	eventually(t, "both processes have ended", func() bool { return strings.Count(w.log.String(), "msg=over") == 2 })
}
