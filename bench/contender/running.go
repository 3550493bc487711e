package contender

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"weir/bench/measure"
)

// Ground is what all contenders of a run stand on.
type Ground struct {
	Launcher *Launcher
	CPUs     CPUs // for the contender
	Origin   netip.AddrPort
	Dir      string
	Cert     Certificate
	nextPort uint16
}

// Running is a contender that serves.
type Running struct {
	Binary     *Binary
	Setup      Setup
	Place      Place
	PID        int
	Command    []string
	ConfigPath string
	Config     string
	cmd        *exec.Cmd
	output     string
	exited     chan struct{}
}

const startBound = 10 * time.Second

// Start configures and starts a contender and waits until it accepts connections.
func (g *Ground) Start(b *Binary, s Setup) (*Running, error) {
	if why := b.Lacks(s); why != "" {
		return nil, errors.New(why)
	}
	dir, err := os.MkdirTemp(g.Dir, b.Name+"-")
	if err != nil {
		return nil, err
	}
	r := &Running{Binary: b, Setup: s, output: filepath.Join(dir, "output"), exited: make(chan struct{})}
	r.Place = Place{Listen: g.port(), Admin: g.port(), Origin: g.Origin, Dir: dir, Cert: g.Cert.Cert, Key: g.Cert.Key,
		Both: g.Cert.Both}
	v := view{Setup: s, Place: r.Place}
	v.Splice = s.Splice && b.Kind == Spliced
	if r.ConfigPath, r.Config, err = b.kind.render(v); err != nil {
		return nil, err
	}
	args := b.kind.command(r.ConfigPath, v)
	r.Command = append([]string{b.Path}, args...)
	r.cmd = exec.Command(b.Path, args...)
	r.cmd.Dir = dir
	r.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir) // Caddy saves things there.
	out, err := os.Create(r.output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	r.cmd.Stdout, r.cmd.Stderr = out, out
	if err := g.Launcher.Start(r.cmd, g.CPUs); err != nil {
		return nil, err
	}
	r.PID = r.cmd.Process.Pid
	go func() { r.cmd.Wait(); close(r.exited) }()
	if err := r.awaitReady(); err != nil {
		r.Stop()
		return nil, err
	}
	return r, nil
}

// Host is the loopback address that everything of this process listens on. Another bench, or a test of it, has another: a
// port that was found free must not be taken by one that is looking for a port too.
func Host() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(62 + pid>>16&1), byte(pid >> 8), byte(pid)})
}

// port picks a free port below the range that outgoing connections take theirs from: a port of that range that is free
// now may be some connection's source a moment later.
func (g *Ground) port() netip.AddrPort {
	for range 10000 {
		if g.nextPort < 20000 || g.nextPort >= 30000 {
			g.nextPort = 20000
		}
		g.nextPort++
		addr := netip.AddrPortFrom(Host(), g.nextPort)
		if ln, err := net.Listen("tcp4", addr.String()); err == nil {
			ln.Close()
			return addr
		}
	}
	panic("no free port among ten thousand")
}

func (r *Running) awaitReady() error {
	for until := time.Now().Add(startBound); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		select {
		case <-r.exited:
			return fmt.Errorf("ended at once: %s", r.Output())
		default:
		}
		if c, err := net.DialTimeout("tcp4", r.Place.Listen.String(), time.Second); err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("does not listen after %v: %s", startBound, r.Output())
}

// Alive says whether the process still runs.
func (r *Running) Alive() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

// Output is the end of what the contender has printed.
func (r *Running) Output() string {
	text, _ := os.ReadFile(r.output)
	s := strings.TrimSpace(string(text))
	if len(s) > 600 {
		s = "…" + s[len(s)-600:]
	}
	return s
}

// Stop ends the contender and removes its files.
func (r *Running) Stop() {
	killGroup(r.PID)
	<-r.exited
	os.RemoveAll(r.Place.Dir)
}

// Reload asks the contender to reload its configuration; it does not wait for the end of it.
func (r *Running) Reload() error {
	if r.Binary.kind.reload == nil {
		return errors.New(r.Binary.Name + " cannot reload")
	}
	return r.Binary.kind.reload(r)
}

// CountsMallocs says whether Mallocs can be asked.
func (r *Running) CountsMallocs() bool { return r.Binary.kind.mallocs }

// Mallocs is the number of heap objects the contender has allocated since it started.
func (r *Running) Mallocs() (float64, error) {
	return measure.Scrape("http://"+r.Place.Admin.String()+"/metrics", "go_memstats_mallocs_total")
}
