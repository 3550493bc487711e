// Package e2e tests the weir binary from outside: it builds it once, runs it with a configuration file, and speaks to it
// as its clients, its servers and its operator do, over real sockets.
//
//	 test ── peer ──────►┌───────────────┐──────► peer ── the same test
//	(client)  TCP, TLS   │ weir run -c F │  TCP, TLS     (server)
//	 test ── weir show ─►└───────────────┘
//	(operator)  /metrics     SIGHUP, SIGTERM
//
// A test reads as a dialogue: it holds both ends and says in order what each one sends and what each one must get. There
// are no mocks, and nothing sleeps for synchronisation: what a test waits for is something that it can see, such as a
// byte, the end of a connection, or a metric.
//
// Every process is held to the same after its test: its clients gone, no gauge of connections, requests, queues or limits
// may be left above zero; SIGTERM ends it with status 0; it has logged no panic.
//
// Each process has a loopback address of its own, so that all listen at the same few ports and none ever meets a port that
// something else has taken.
//
// WEIR_E2E_BINARY names a binary to be tested instead of one built from the tree; WEIR_E2E_RACE builds it with the race
// detector; WEIR_E2E_BIG moves bodies of a gigabyte.
package e2e
