package engine

import (
	"net/netip"
	"weir/h2"

	"weir/internal/config"
	"weir/internal/limit"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/netio"
	"weir/netio/tlsio"
)

// routeCells is where the requests of one frontend to one backend are counted.
type routeCells = stats.Route

// view is the configuration as one worker sees it: the same names, joined to this worker's cells, shards and listeners.
type view struct {
	generation uint64
	frontends  []*frontend
	backends   []*backend
	listeners  []*listener
	h3         []*h3Listener
	global     *limit.Attachment
	queues     axisQueues // of the process
}

func (v *view) frontend(name string) *frontend {
	for _, f := range v.frontends {
		if f.cfg.Name == name {
			return f
		}
	}
	return nil
}

func (v *view) backend(name string) *backend {
	for _, b := range v.backends {
		if b.cfg.Name == name {
			return b
		}
	}
	return nil
}

func (v *view) listener(fd int) *listener {
	for _, l := range v.listeners {
		if l.fd == fd {
			return l
		}
	}
	return nil
}

// listener is one of the worker's listening sockets.
type listener struct {
	fd      int
	bind    *config.Bind
	fe      *frontend
	token   netio.Token
	waiting bool // the accept queue may not be empty
	listed  bool // stands in worker.crowded
	retry   netio.Timer
}

// listenerBit marks the tokens of listeners; a connection's generation never has it.
const listenerBit = 1 << 31

func (v *view) listenerOf(t netio.Token) *listener {
	if t.Generation()&listenerBit == 0 {
		return nil
	}
	for _, l := range v.listeners {
		if l.token == t {
			return l
		}
	}
	return nil
}

// frontend is a [frontend.NAME] on one worker.
type frontend struct {
	cfg       *config.Frontend
	cells     *stats.Frontend
	limits    *limit.Attachment
	queues    axisQueues
	h2        *h2.Config
	secure    map[netip.AddrPort]*tlsio.ServerConfig // by listening address
	routes    []route
	fallback  route
	unrouted  *stats.Route // counts what is refused before it is known where it would go
	bufferMax int
	buffers   []*limit.Bound // bufferMax is the least of them
	via       [msg.HTTP3 + 1][]byte
	retired   bool // no longer in the configuration as it was: sessions end when they can
}

// viaOf is the element that is added to Via by the version in which a message came (RFC 9110 section 7.6.3).
func viaOf(pseudonym string) (v [msg.HTTP3 + 1][]byte) {
	if pseudonym == "" {
		return v
	}
	for version, word := range map[msg.Version]string{msg.HTTP10: "1.0 ", msg.HTTP11: "1.1 ", msg.HTTP2: "2 ", msg.HTTP3: "3 "} {
		v[version] = []byte(word + pseudonym)
	}
	return v
}
