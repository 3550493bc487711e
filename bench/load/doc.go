// Package load is the load generator: one process a run, one job in, one result out, the same for every contender.
//
//	job ─► loop (one locked thread) ─► client ─► protocol (h1, h2, WebSocket) ─► wire (plain, TLS) ─► contender
//	         │  schedule (open loop: Poisson arrivals; closed loop: the next when the last is done)
//	         └► Result: counts, errors, latencies from the moment a request was due, CPU time of all processes watched
//
// A request's latency starts when the schedule says so, whether or not a connection was free by then: a contender that
// stalls pays for every request that should have been sent meanwhile (no coordinated omission). Whatever is not the
// expected status with the expected number of body bytes is an error, and errors fail the measurement.
//
// TLS is crypto/tls on the same loop: handshakes run as coroutines that yield when they would block. HTTP/3 alone runs on
// goroutines, on quic-go, and is the one generator that costs more than what it measures; results say so.
package load
