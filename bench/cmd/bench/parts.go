package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"weir/bench/contender"
	"weir/bench/load"
	"weir/bench/origin"
	"weir/bench/relay"
)

// address is a flag that holds an address and port.
type address struct{ netip.AddrPort }

func (a *address) Set(s string) (err error) {
	a.AddrPort, err = netip.ParseAddrPort(s)
	return err
}

// sharpen prepares a process that is an event loop on one pinned CPU: with one P the runtime would take it away at every
// system call that sleeps.
func sharpen() {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	contender.RaiseFileLimit(1 << 20)
}

func runOrigin(_ context.Context, args []string) error {
	f := flags("origin")
	c := origin.Config{}
	var listen, control address
	f.Var(&listen, "listen", "`address` to serve on")
	f.Var(&control, "control", "`address` of the counters")
	f.IntVar(&c.Loops, "loops", 1, "event loops")
	f.StringVar(&c.Engine, "engine", "epoll", "epoll or netpoll")
	if err := parse(f, args); err != nil {
		return err
	}
	if !listen.IsValid() {
		return usageError(f, "needs --listen")
	}
	c.Listen, c.Control = listen.AddrPort, control.AddrPort
	sharpen()
	return origin.Run(c, func(a origin.Addresses) { printJSON(a) })
}

func runLoad(_ context.Context, args []string) error {
	f := flags("load")
	if err := parse(f, args); err != nil {
		return err
	}
	sharpen()
	return load.Serve(os.Stdin, os.Stdout)
}

func runRelay(_ context.Context, args []string) error {
	f := flags("relay")
	var listen, to address
	f.Var(&listen, "listen", "`address` to serve on")
	f.Var(&to, "origin", "`address` to relay to")
	engine := f.String("engine", "epoll", "epoll or netpoll")
	sources := f.Int("sources", 0, "local addresses to connect from, 127.0.2.1 and up; 0: the kernel's choice")
	if err := parse(f, args); err != nil {
		return err
	}
	if !listen.IsValid() || !to.IsValid() || *sources < 0 || *sources > 250 {
		return usageError(f, "needs --listen and --origin, and at most 250 sources")
	}
	c := relay.Config{Listen: listen.AddrPort, Origin: to.AddrPort}
	for i := range *sources {
		c.Sources = append(c.Sources, netip.AddrFrom4([4]byte{127, 0, 2, byte(1 + i)}))
	}
	sharpen()
	ready := func(a netip.AddrPort) { fmt.Println(a) }
	switch *engine {
	case "epoll":
		return relay.Run(c, ready)
	case "netpoll":
		return relay.RunNetpoll(c, ready)
	}
	return usageError(f, "no engine called "+*engine)
}
