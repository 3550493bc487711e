// Package contender knows the proxies that are compared: where their binaries are, what they lack, the configuration each
// gets for a scenario, how they start on the CPU set aside for them, reload and stop.
//
//	Spec (name, kind, path) ─► Find ─► Binary (version) ─► Start(Setup) ─► Running (address, process tree, configuration)
//	                             └─ why it is missing        └─ why it cannot: shown in place of a number
//
// Every contender gets one thread or worker, connection reuse towards the server as eager as it has it, no access log, no
// added fields, TLS 1.3 with the same key and cipher, and limits that are not in the way; templates/ holds all of it.
// Processes start from one locked thread, so that they inherit its CPU mask and end when the bench does.
package contender
