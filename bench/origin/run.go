package origin

import (
	"fmt"
	"net"
	"net/netip"
)

// Config is how an origin runs.
type Config struct {
	Listen  netip.AddrPort
	Control netip.AddrPort // counters; the zero value: none
	Loops   int            // epoll loops, each with its own listener; at least 1
	Engine  string         // "epoll" (also "") or "netpoll"
}

// Addresses is where an origin ended up listening.
type Addresses struct {
	Serve   netip.AddrPort `json:"serve"`
	Control netip.AddrPort `json:"control"`
}

// Run serves until the process ends; ready is called once when all listeners are open.
func Run(c Config, ready func(Addresses)) error {
	counters := new(Counters)
	var at Addresses
	if c.Control.IsValid() {
		ln, err := net.Listen("tcp4", c.Control.String())
		if err != nil {
			return err
		}
		at.Control = netip.MustParseAddrPort(ln.Addr().String())
		go serveControl(ln, counters)
	}
	switch c.Engine {
	case "", "epoll":
	case "netpoll":
		return runNetpoll(c.Listen, counters, func(a netip.AddrPort) { at.Serve = a; ready(at) })
	default:
		return fmt.Errorf("no origin engine called %q: want epoll or netpoll", c.Engine)
	}
	loops := make([]*loop, max(1, c.Loops))
	at.Serve = c.Listen
	for i := range loops {
		var err error
		if loops[i], at.Serve, err = newLoop(at.Serve, counters); err != nil {
			return err
		}
	}
	ready(at)
	for _, l := range loops[1:] {
		go l.run()
	}
	loops[0].run()
	return nil
}
