package scenario

import (
	"time"

	"weir/bench/contender"
	"weir/bench/load"
)

// play is how a scenario is played.
type play uint8

const (
	playLoad     play = iota // closed loop, then open loop, then traced
	playOverload             // more than the server's limit admits
	playIdle                 // many idle connections
	playReload               // reloads under load
	playReuse                // connections counted at the origin
)

// Scenario is one entry of the catalogue.
type Scenario struct {
	Name  string
	Group string
	Title string
	About string

	play    play
	setup   contender.Setup
	job     load.Job
	latency bool // has an open loop
	traced  bool // has a counted run under the tracer
	quick   bool // is part of the quick bench
	netpoll bool // the netpoll relay takes part

	saves, over string // what is saved over which other scenario
}

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
)

func get(path string, expect int64, conns, streams int) load.Job {
	return load.Job{Protocol: load.H1, Method: "GET", Path: path, Expect: expect, Conns: conns, Streams: streams}
}

func post(body int64, conns int) load.Job {
	return load.Job{Protocol: load.H1, Method: "POST", Path: "/upload", Body: body, Expect: 2, Conns: conns, Streams: 1}
}

func with(j load.Job, change func(*load.Job)) load.Job {
	change(&j)
	return j
}

func over(p load.Protocol, t load.TLS) func(*load.Job) {
	return func(j *load.Job) { j.Protocol, j.TLS = p, t }
}

func plain() contender.Setup {
	return contender.Setup{Front: contender.FrontH1, Back: contender.BackH1, Reuse: contender.ReuseAlways, Conns: 2000}
}

func front(f contender.Front) contender.Setup {
	s := plain()
	s.Front = f
	return s
}

func setup(change func(*contender.Setup)) contender.Setup {
	s := plain()
	change(&s)
	return s
}

// Catalogue is every scenario, in the order of reports.
func Catalogue() []Scenario {
	all := append(requests(), bodies()...)
	all = append(all, secured()...)
	return append(all, conduct()...)
}

func requests() []Scenario {
	const group = "HTTP/1.1"
	perRequest := func(j *load.Job) { j.PerRequest = true }
	return []Scenario{
		{Name: "h1-keepalive-4", Group: group, Title: "Keep-alive, 4 connections",
			About: "GET of 1 KiB; few connections, so that the proxy sleeps and wakes for each request.",
			setup: plain(), job: get("/1k", kib, 4, 1), netpoll: true},
		{Name: "h1-keepalive-64", Group: group, Title: "Keep-alive, 64 connections",
			About: "GET of 1 KiB; the scenario the budgets are written for.",
			setup: plain(), job: get("/1k", kib, 64, 1), latency: true, traced: true, quick: true, netpoll: true},
		{Name: "h1-keepalive-512", Group: group, Title: "Keep-alive, 512 connections",
			About: "GET of 1 KiB; many ready connections a turn of the loop, and caches that no longer hold all of them.",
			setup: plain(), job: get("/1k", kib, 512, 1), latency: true, netpoll: true},
		{Name: "h1-connect", Group: group, Title: "A connection per request",
			About: "64 clients that close after every response.",
			setup: plain(), job: with(get("/1k", kib, 64, 1), perRequest), latency: true, traced: true, quick: true},
		{Name: "h1-pipelined", Group: group, Title: "Pipelined, 16 connections × 8",
			About: "GET of 1 KiB, eight requests in flight on each connection.",
			setup: plain(), job: get("/1k", kib, 16, 8)},
		{Name: "h1-browser", Group: group, Title: "Browser-size headers, 64 connections",
			About: "GET of 1 KiB with 14 fields and 1.2 KiB of request head.",
			setup: plain(), job: with(get("/1k", kib, 64, 1), func(j *load.Job) { j.Browser = true }), latency: true, quick: true},
	}
}

func bodies() []Scenario {
	const group = "Bodies"
	spliced := setup(func(s *contender.Setup) { s.Splice = true })
	return []Scenario{
		{Name: "down-16k", Group: group, Title: "Responses of 16 KiB", About: "64 connections.",
			setup: plain(), job: get("/16k", 16*kib, 64, 1)},
		{Name: "down-1m", Group: group, Title: "Responses of 1 MiB", About: "16 connections.",
			setup: spliced, job: get("/1m", mib, 16, 1), quick: true},
		{Name: "down-100m", Group: group, Title: "Responses of 100 MiB", About: "4 connections.",
			setup: spliced, job: get("/100m", 100*mib, 4, 1)},
		{Name: "up-16k", Group: group, Title: "Requests of 16 KiB", About: "64 connections.",
			setup: plain(), job: post(16*kib, 64)},
		{Name: "up-1m", Group: group, Title: "Requests of 1 MiB", About: "16 connections.",
			setup: spliced, job: post(mib, 16)},
		{Name: "up-100m", Group: group, Title: "Requests of 100 MiB", About: "4 connections.",
			setup: spliced, job: post(100*mib, 4)},
	}
}

func secured() []Scenario {
	const tlsGroup, muxGroup = "TLS", "HTTP/2, HTTP/3, WebSocket"
	handshake := func(t load.TLS) func(*load.Job) {
		return func(j *load.Job) { j.TLS, j.PerRequest = t, true }
	}
	h2h2 := front(contender.FrontH2)
	h2h2.Back = contender.BackH2
	message := load.Job{Protocol: load.Socket, Method: "GET", Path: "/ws", Body: 125, Expect: 125, Conns: 64, Streams: 1}
	return []Scenario{
		{Name: "tls-keepalive", Group: tlsGroup, Title: "TLS 1.3 keep-alive, 64 connections", About: "GET of 1 KiB.",
			setup: front(contender.FrontTLS), job: with(get("/1k", kib, 64, 1), over(load.H1, load.Full)), latency: true,
			traced: true, quick: true},
		{Name: "tls-full", Group: tlsGroup, Title: "Full handshakes",
			About: "16 clients, each request on a new connection with a full TLS 1.3 handshake (X25519, ECDSA P-256).",
			setup: front(contender.FrontTLS), job: with(get("/1k", kib, 16, 1), handshake(load.Full)), latency: true},
		{Name: "tls-resumed", Group: tlsGroup, Title: "Resumed handshakes",
			About: "The same with a PSK from the session before.",
			saves: "CPU saved by resuming a session instead of a full handshake, the request and its connection included",
			over:  "tls-full",
			setup: front(contender.FrontTLS), job: with(get("/1k", kib, 16, 1), handshake(load.Resumed)), latency: true},
		{Name: "h2-h1", Group: muxGroup, Title: "HTTP/2 to HTTP/1.1, 16 connections × 16 streams",
			About: "GET of 1 KiB over TLS.",
			setup: front(contender.FrontH2), job: with(get("/1k", kib, 16, 16), over(load.H2, load.Full)), latency: true,
			traced: true, quick: true},
		{Name: "h2-h2", Group: muxGroup, Title: "HTTP/2 to HTTP/2, 16 connections × 16 streams",
			About: "GET of 1 KiB over TLS; cleartext to the server.",
			setup: h2h2, job: with(get("/1k", kib, 16, 16), over(load.H2, load.Full)), latency: true},
		{Name: "h3-h1", Group: muxGroup, Title: "HTTP/3 to HTTP/1.1, 8 connections × 8 streams",
			About: "GET of 1 KiB. The generator is quic-go and costs more than it measures: read CPU, not throughput.",
			setup: front(contender.FrontH3), job: with(get("/1k", kib, 8, 8), over(load.H3, load.Full)), latency: true},
		{Name: "websocket", Group: muxGroup, Title: "WebSocket messages, 64 connections",
			About: "A message of 125 bytes and its echo are a request.",
			setup: setup(func(s *contender.Setup) { s.Upgrades = true }), job: message, latency: true},
	}
}

func conduct() []Scenario {
	const group = "Conduct"
	limited := setup(func(s *contender.Setup) { s.MaxConn, s.QueueTimeout = overloadSlots, 100*time.Millisecond })
	return []Scenario{
		{Name: "mixed", Group: group, Title: "Slow and fast clients",
			About: "64 fast keep-alive clients are measured while 64 others read 1 MiB at 80 KiB/s and 64 send a byte every 50 ms.",
			setup: plain(), job: with(get("/1k", kib, 64, 1), func(j *load.Job) {
				j.Slow = load.Slow{Readers: 64, Senders: 64}
			}), latency: true},
		{Name: "overload", play: playOverload, Group: group, Title: "Twice what the server takes",
			About: "The server takes 16 requests at a time for 10 ms each; twice its capacity is offered, and a request may queue " +
				"for 100 ms. Goodput is answers with 200; p99 is theirs.",
			setup: limited, job: get("/delay/10/1k", kib, 64, 1), quick: true},
		{Name: "idle", play: playIdle, Group: group, Title: "Idle connections while serving",
			About: "Each idle connection has made one request. 16 others are served at 70 % of the capacity measured before.",
			setup: plain(), job: get("/1k", kib, 16, 1)},
		{Name: "idle-tls", play: playIdle, Group: group, Title: "Idle TLS connections while serving",
			About: "The same over TLS 1.3, with fewer connections, since each costs a handshake.",
			setup: front(contender.FrontTLS), job: with(get("/1k", kib, 16, 1), over(load.H1, load.Full))},
		{Name: "reload", play: playReload, Group: group, Title: "Reloads under load",
			About: "Two reloads of an unchanged configuration while 64 keep-alive clients run and 200 new connections a second come in.",
			setup: setup(func(s *contender.Setup) { s.Reloads = true }), job: get("/1k", kib, 64, 1)},
		{Name: "reuse", play: playReuse, Group: group, Title: "Server connections by reuse mode",
			About: "50 clients make 2000 requests closing after every response, then 2000 over keep-alive; the server answers after " +
				"1 ms. Counted at the origin.",
			setup: plain(), job: get("/delay/1/1k", kib, reuseClients, 1)},
	}
}

const (
	overloadSlots = 16
	reuseClients  = 50
	reuseRequests = 2000
)
