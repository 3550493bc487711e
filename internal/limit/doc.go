// Package limit is the counter table: the only memory that workers share on the data path.
//
//	Table
//	  ├─ Attachment (global)          eight axes, each counted on its own for this place
//	  ├─ Attachment (frontend "web")     Count: tokens with a maximum      max-conn, max-ssl-conn
//	  ├─ Attachment (backend "api")      Rate:  a bucket on one word       the four rates
//	  │                                  Bound: a number one connection is held to
//	  ├─ Count (a server's max-conn)
//	  └─ Queue ──── lane 0 ◄── Line of worker 0 ── w1 ── w4 ── w5
//	           ├─── lane 1 ◄── Line of worker 1 ── w2
//	           └─── lane N ◄── Line of worker N ── w3
//
// Everything that is shared is an atomic word on cache lines of its own; nothing is locked and nobody waits for another
// worker. A count never exceeds its maximum and a rate its bucket, whatever the interleaving: each decision is one
// compare-and-swap of one word that holds all that it depends on.
//
// A Queue makes waiting for tokens first in, first out over all workers. What the workers share of it is a lane per
// worker, in which the worker shows the tickets of its oldest waiters. Whoever gives a token back picks the oldest ticket
// shown, marks it as granted and wakes that worker; see Queue.
//
// The package is not a policy: what to answer when a limit is met, and for how long to wait, is the engine's. It reads no
// clock and starts no goroutine. The control plane creates, changes and lists what is in the Table under a mutex that the
// data path never takes.
package limit
