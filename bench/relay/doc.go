// Package relay is the floor: what a connection costs when nothing is done but moving its bytes from one socket to the
// other. It speaks no HTTP, shares no server connection, and stands in every table as the yardstick that tells the price
// of the kernel from the price of a proxy.
//
//	client ──► front fd ─► one buffer per loop ─► back fd ──► origin
//	client ◄── front fd ◄─ one buffer per loop ◄─ back fd ◄── origin
//
// Run relays on a bare epoll loop, RunNetpoll does the same with cloudwego/netpoll: the pair shows what a general
// event-loop library costs. Both serve until the process ends; each is called once, from the process's main goroutine.
package relay
