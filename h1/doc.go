// Package h1 is HTTP/1.1 and HTTP/1.0 between bytes and messages (RFC 9112): a strict incremental Reader for requests and
// responses alike, and functions that append messages to a buffer.
//
//	bytes ──► Reader.Recv ──► Head, Data…, End ──► msg.VetX ──► engine ──► AppendX ──► bytes
//
// It does no I/O, reads no clock, holds no lock and starts no goroutine. It is not a connection: whether one may be used
// again, what to answer to a fault, when to give up waiting is the engine's to decide.
//
// What the Reader accepts, every other reader of RFC 9112 understands the same way; whatever two of them could read
// differently is a fault, and after a fault the Reader yields nothing more. Bodies are taken out of their framing here
// and put into new framing by the append functions, so that nothing of the one side's framing reaches the other.
//
//	         ┌──────────────────────── End ───────────────────────┐
//	         ▼                                                     │
//	 quiet ──► head ──► Head ──┬─ no body ───────────────► end ────┤
//	(Expect,     ▲             ├─ length ───► Data… ─────► end ────┤
//	 responses)  │             ├─ chunked ──► size ◄─► data        │
//	             └── 1xx ──────┤               └─► trailers ───────┘
//	                           ├─ close ────► Data… ─► EOF
//	                           └─ tunnel ───► Data… ─► EOF
//
// A Reader belongs to one connection and is called by its worker only.
package h1
