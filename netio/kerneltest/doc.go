// Package kerneltest is what every netio.Kernel must do, as tests: the real one and the simulated one run the same, so
// that what holds in a simulation holds on Linux.
//
//	netio.Linux ──┐
//	              ├──► kerneltest.Run: readiness, EOF, RST, short writes, refusals, wakes, deadlines
//	sim.Kernel ───┘
//
// It is imported by tests only. It uses loopback addresses and no more of a kernel than the interface.
package kerneltest
