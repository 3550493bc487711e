// Package pool keeps the server connections that wait for work: for each server and worker one Shard of idle connections
// and one Streams of multiplexed connections with room for further streams.
//
//	  worker 0                          worker 1                      over all workers
//	┌───────────────────────┐        ┌──────────────────────┐       ┌──────────────────────────┐
//	│ Shard    LIFO by key  │◄ Give ─│ Shard                │──────►│ Shared  idle, open,      │
//	│  key A: c9 c4 c2      │        │                      │ counts│         idle per worker, │
//	│  key B: c7            │        │                      │       │         warming, Backoff │
//	│ Streams  h2 with room │        │ Streams              │       └──────────────────────────┘
//	│  key A: c3 c8         │        └──────────────────────┘
//	└───────────────────────┘
//
//	connecting ──► used ◄──── Take / Pick ────── idle ──► closed, with one Cause
//	                └───────── Put / Set ─────────▲
//
// A connection is known to the pool by the Node that its record embeds. The pool never looks into the connection: its
// liveness, protocol and descriptor are the engine's, and so are the clock and every close. The pool decides which one is
// taken, which one has to go, and when.
//
// Shard and Streams belong to one worker. Shared is all that crosses: atomic counters that make pool-max-conn and
// pool-warm-conn exact over all workers and tell a worker which other one to ask for a connection.
//
// The package is not about HTTP: of a request it knows method semantics and whether it is a session's first (Policy.Admit).
package pool
