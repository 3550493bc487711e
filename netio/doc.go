// Package netio is where weir touches the kernel: sockets, readiness, the clock, threads; and what a worker's loop is
// made of besides: its timer wheel and its mailbox.
//
//	      control plane, other workers
//	               │ Post
//	          ┌────▼────┐ Wake, only when the worker sleeps
//	          │ Mailbox │──────────────┐
//	          └────┬────┘              ▼
//	 Take          │     Wait     ┌────────┐ epoll, eventfd, sockets
//	┌──────────────▼──────────────┤ Kernel │◄────────────────────────► Linux
//	│      the worker's loop      ├────────┘  (in tests: internal/sim)
//	└──────────────▲──────────────┘
//	      Advance  │ Next
//	          ┌────┴────┐
//	          │  Wheel  │ Timer in every connection record
//	          └─────────┘
//
// It knows no HTTP and keeps no connections: a descriptor is a number, its owner a Token that the engine makes up. All
// errno values end here (type IO), and so do all uses of unsafe but those of the TLS shim.
//
// A Linux and a Wheel belong to one worker and are used from its thread only; Wake and Mailbox.Post may be called from
// any goroutine. Listening sockets may be opened, adopted and passed on by the control plane before a worker has them.
//
// # How reads and writes must be used
//
// Readiness is edge-triggered and registered once. Whoever gets an event reads until a call returns less than was asked
// for, Again, EOF or an error; a short read proves that the queue was empty, and whatever arrives later makes a new
// event. One exception: when the event said PeerClosed or HungUp, the end of the stream is queued behind the data and
// will not be announced again, so read on until EOF or the error shows. A short write means that the socket is full: a
// Writable event follows when there is room.
package netio
