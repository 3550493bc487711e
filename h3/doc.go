// Package h3 is HTTP/3 (RFC 9114) towards clients: QUIC endpoints that keep a connection with its worker, the codec with
// QPACK (RFC 9204), extended CONNECT (RFC 9220) and extensible priorities (RFC 9218), and the bridge to the workers.
//
//	       UDP, one socket a worker                    goroutines                         the worker's thread
//	      ┌─────────────────────┐      ┌───────────────────────────────────────┐      ┌──────────────────────┐
//	─────►│ group   steering by │      │ Conn   accepts streams, control, QPACK│ Sink │ OnHead OnData OnRoom │
//	      │ port    connection  ├─────►│ Stream reads heads and bodies         ├─────►│ OnReset OnGone …     │
//	◄─────┤ port    ID          │      │        writes what is long            │◄─────┤ SendHead SendData    │
//	      └─────────────────────┘      └───────────────────────────────────────┘      │ Flush Taken Reset    │
//	             quic-go                                                              └──────────────────────┘
//
// # What the caller does
//
// It makes an Endpoint for an address and gives it a Sink for each worker. What a Sink is told it posts to its worker; there
// is no other way from here to there, and no method of a Sink may wait. The worker answers by the methods of Stream, which
// never wait either: Room says how much of a body is taken, OnRoom when there is some again, Taken opens the client's window.
//
// A Stream is the worker's from OnHead until Finish or Reset, one of which it calls. It is garbage afterwards and not used
// again, so a message that was under way finds an ended stream and not another client's.
//
// # Errors
//
// What a client does wrong ends its stream, or its connection, with the code that the RFCs give for it; both are handled
// here, and the worker is told why. A request that is merely too large, or too slow, is passed on with a Fault, to be
// answered and logged.
//
// # What it is not
//
// It is not the judge of what may cross to another connection (msg.VetRequest), though no request leaves it that RFC 9114
// section 4 calls malformed. It does not push, and it does not speak HTTP/3 to servers. It has no clock but the runtime's:
// what the engine times, it times itself.
package h3
