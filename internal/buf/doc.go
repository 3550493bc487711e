// Package buf is the memory that bytes wait in: blocks in eight size classes from free lists, and queues made of them.
//
//	Pool                                             Queue
//	  2 KiB ─► □ ─► □ ─► □          Get ──►            head           tail
//	  4 KiB ─► □                                       ┌─────┬──┐    ┌───┬────┐
//	   …                            ◄── Free           │▒▒▒▒▒│██│───►│███│ …  │   ▒ consumed  █ waiting
//	256 KiB ─► □                                       └─────┴──┘    └───┴────┘
//
// There is one Pool per worker. Nothing here is safe for concurrent use, and nothing locks: blocks and queues stay with
// the worker whose pool they came from. A queue gives a block back the moment its last byte is consumed, so that an
// idle connection holds no block. It is not a general allocator: larger things than a block of 256 KiB do not exist here,
// since no connection may hold more (max-buffer-size).
package buf
