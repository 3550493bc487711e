// Package engine is the proxy: workers, sessions, exchanges and server connections, and what joins them.
//
//	client                       one worker, one thread, one CPU                        server
//	  │                                                                                   │
//	  │   ┌─────────┐  head, body   ┌──────────┐   head, body    ┌──────────┐             │
//	  ├──►│ session │──────────────►│ exchange │────────────────►│ backConn │────────────►│
//	  │   │  front  │◄──────────────│          │◄────────────────│   back   │◄────────────┤
//	  │   └─────────┘  room, abort  └──────────┘   room, abort   └──────────┘             │
//	  │     h1 h2 h3      frontStream            backStream         h1 h2                 │
//
// An exchange is where any client protocol meets any server protocol. It knows neither: it talks to a frontStream and a
// backStream, and both talk to it. Bytes are pushed towards the exchange only while the other side says it has room; a
// side whose peer has none is not read. That is all the backpressure there is, and it bounds memory by construction.
//
// A worker runs to completion: wait, dispatch events, take messages, fire timers, resume who has room again, flush who
// has output. Everything that belongs to a worker (its sessions, exchanges, server connections, pool shards, its copy of
// the configuration) is touched by that worker's thread only, without locks and atomics. What crosses: messages in a
// worker's mailbox, and the counters of internal/limit.
//
// The package is not a codec (h1, h2, h3), makes no system call (netio.Kernel does), and does not decide how a pool is
// kept (pool).
package engine
