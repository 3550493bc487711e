// Package origin is the server that every contender forwards to: the same process for all of them, as cheap a request as
// can be, so that what is measured is the proxy before it.
//
//	            ┌───────────────── one locked thread ─────────────────┐
//	SO_REUSEPORT│ Poller ─► read ─► conn.recv ─► writev               │  loops × N
//	            │             bytes in, bytes out: h1, h2c, WebSocket │
//	            └──────────────────────────────────────────────────────┘
//	control     counters over a port of their own (net/http; idle during a measurement)
//
// What a path asks for is all the answer depends on: "/1k", "/16k", "/100m" give a body of that size out of one pattern,
// "/delay/10/1k" the same after 10 ms, "/upload" takes any body, "/hash" answers with the body's SHA-256, "/echo" with the
// body (up to 4 MiB), "/ws" upgrades to a WebSocket that echoes. h2c is recognised by its preface. The protocol side
// does no I/O, so it runs on the bare epoll loop (default) or on cloudwego/netpoll, to show that a result does not hang on
// the origin's machinery. It checks requests for sense, not for abuse: only a proxy under test speaks to it.
package origin
