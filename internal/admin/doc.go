// Package admin is the face of the control plane: the runtime socket that the commands talk to, the HTTP listener with
// metrics, health, JSON and a page, and the rendering of everything that `weir show` prints.
//
//	weir show, set, reload … ──unix──► runtime socket ─┐
//	                                                   ├──► Engine (an interface) ──► messages to the workers
//	Prometheus, browser, probe ──tcp──► admin HTTP ────┘
//	                                                       Render…, …JSON: pure functions over a stats.Snapshot
//
// Everything here runs on ordinary goroutines and never on a worker. What it needs of the engine it says in Engine. A
// client of either listener can cost at most one connection of a bounded number, a bounded buffer and one command at a
// time; it has bounded time to ask and to read the answer.
//
// It is not the command line (cmd/weir is, and it only needs Dial, Client.Do and Response), and it keeps no state of its
// own: what it shows is asked for each time.
package admin
