// Package epoll is the little that the bench's origin, load generator and floor relay need of the kernel: an
// edge-triggered poller, and sockets whose calls cost as close to nothing above the system call as Go allows.
//
//	origin ─┐
//	load   ─┼─► Poller (one per loop, one locked thread) ─► epoll_pwait2, read, write, recv(MSG_TRUNC)
//	relay  ─┘
//
// It is not weir's netio and shares no line with it: a harness that measured the proxy with the proxy's own machinery
// would hide that machinery's faults. A Poller belongs to the one goroutine that waits on it; the socket functions may be
// called from anywhere. Errors are raw errno values, because the loops compare them on every turn.
package epoll
