// Package h2 is the HTTP/2 codec (RFC 9113) for both roles, with extended CONNECT (RFC 8441) and extensible priorities
// (RFC 9218): bytes in, events out, and frames appended to buffers that belong to the caller.
//
//	          bytes read                                          events
//	socket ──────────────► Recv ── frame ── block ── section ──────────────► engine
//	                         │       │                  │                      │
//	                         ▼       ▼                  ▼                      │
//	                      budget   windows         hpack.Decoder               │
//	                         │       │                                         │
//	                         │    store of Streams ◄── scheduler               │
//	                         ▼       │                     │                   │
//	          bytes out   pending    ▼                     ▼                   ▼
//	socket ◄──────────── AppendPending   AppendHead  AppendData  AppendTrailers  AppendReset
//
// It does no I/O, reads no clock, takes no lock and starts no goroutine. Everything that belongs to a connection is used
// by one worker. Time is an argument of the two calls that need it.
//
// # What the caller does
//
// Recv takes any piece of the stream of bytes. What it does not consume has to be given again with more behind it; that is
// never more than a frame header and a fixed-size payload (RecvBytesMin), since DATA and field blocks are taken in pieces. It
// reports at most one event; the caller goes on until no byte is consumed and no event is reported.
//
// Replies that the protocol demands, resets and window updates collect inside until AppendPending. A caller whose peer
// does not read should stop asking for them: the bound on what collects then ends the connection (Limits.PendingBytes).
//
// A Stream belongs to the connection from its first event, or from Open, until Forget. The caller that got one calls
// Forget exactly once, also after EventReset. Bytes of EventData count as held until Consumed says that they have left;
// the windows open by no other means, which is all the backpressure there is.
//
// # Errors
//
// What ends a stream is handled inside: RST_STREAM collects, an event tells, the connection goes on. What ends the
// connection is returned by Recv or Expire, with a GOAWAY collected; the caller sends AppendPending, ends its direction,
// and discards what still comes before it closes: to close over unread bytes resets the connection, and the peer may
// never see why. Both are always the peer's doing and static values. The caller's own mistakes panic.
//
// # What it is not
//
// It is not the judge of what may cross to another connection (msg.VetRequest), though no request leaves it that RFC 9113
// section 8 calls malformed. It does not push. It knows timeouts only for what the caller cannot see: a field block or a
// frame that does not end, and a SETTINGS that is not acknowledged. A window that stays shut is the caller's to time, who
// knows what waits behind it.
package h2
