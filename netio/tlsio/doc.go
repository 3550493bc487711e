// Package tlsio is TLS 1.2 and 1.3 on non-blocking descriptors inside an event loop, with the standard crypto/tls, in
// both roles.
//
//	 plaintext                     Conn                                       ciphertext
//	          ┌───────────────────────────────────────────────────┐
//	Recv ◄────┤ input ◄── decrypt in place ◄── rawInput on a block│◄──── fill: one Kernel.Recv of up to 64 KiB
//	          │                  crypto/tls                       │
//	Send ────►│ records of up to 16 KiB ──► wire.Write ──► backlog├────► Flush: one Kernel.Send for all of it
//	          └───────────▲───────────────────────────────────────┘
//	                      │ the handshake runs on a coroutine (iter.Pull) that is parked in wire.Read when bytes are
//	Handshake ────────────┘ missing, and goes on when Handshake is called for the next event
//
//	ServerOptions ─► ServerConfig ── SNI, client's abilities ──► one certificate ─► its own ticket keys ◄─ TicketStore
//	ClientOptions ─► ClientConfig ── Peer(server, SNI, name) ──► one crypto/tls configuration ◄─────────── SessionStore
//
// What crypto/tls needs in order to work without blocking was found by test and is kept by tests here: a read that would
// block must return a net.Error whose Temporary is true, or the connection is poisoned; a write must never fail for want
// of room; a handshake that saw an error can not be resumed, therefore the coroutine.
//
// crypto/tls reads into a bytes.Buffer of its own that grows to 18 KiB and is never given back. Conn puts a block of the
// worker's pool in its place while there is something to read and takes it away when all of it is decrypted, so that an
// idle connection holds none (innards.go, the one place with unsafe).
//
// Who may call: a Worker and its Conns belong to one event loop; ServerConfig, ClientConfig, TicketStore and SessionStore
// are shared by all of them and by the control plane. It is not a record layer or a handshake of its own, it knows no
// HTTP, opens and closes no descriptor, arms no timer and starts no goroutine. How many handshakes may run is decided by
// the engine, which is told what it needs: State and Failure.
package tlsio
