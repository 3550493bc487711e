// Package sim is a network, its clock and the kernels of any number of workers, simulated: the same seed gives the same
// run, to the byte and the nanosecond. Whole proxies run in it, between clients and servers that are short scripts, with
// latency, small buffers and faults; an hour takes a moment.
//
//	 scripts                  Net: events in the order of virtual time                    the code under test
//	┌────────┐    ┌────────┐   SYN  data  FIN  RST  ack    ┌────────┐ Recv Send  ┌────────┐ Wait  ┌──────────┐
//	│ Client ├───►│ socket │◄────────────────────────────►│ socket ├───────────►│ Kernel │◄──────┤ worker 0 │
//	└────────┘    └────────┘                               └────────┘   edges    └────────┘       └──────────┘
//	┌────────┐    ┌────────┐                               ┌────────┐            ┌────────┐       ┌──────────┐
//	│ Server ├───►│ socket │◄────────────────────────────►│ socket ├───────────►│ Kernel │◄──────┤ worker 1 │
//	└────────┘    └────────┘                               └────────┘            └────────┘       └──────────┘
//
// A Kernel behaves as Linux does where a proxy can tell: package netio/kerneltest holds both to the same tests. Time stands
// still while code runs. It moves in Wait, which returns what is ready, and else goes on to the next event; and when
// another worker has something to do, Wait returns with nothing, so that it gets its turn (see Drive).
//
// It is no packet simulator: bytes arrive in order, congestion does not exist. It is used from one goroutine; only
// Kernel.Wake may be called from others, and a run that depends on when it is called is no longer that of its seed.
package sim
