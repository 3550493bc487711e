package tlsio

import (
	"weir/internal/buf"
	"weir/netio"
)

// Sizes of the blocks that connections borrow from the worker's pool.
const (
	recvBytes    = 64 << 10 // what one call may receive; holds three records of the largest size
	recvBytesMin = 32 << 10 // the least that holds any record
	backlogBytes = 64 << 10 // ciphertext that may wait to be sent
	smallBytes   = 4 << 10  // a ClientHello, or the beginning of a record
)

// BufferBytesDefault is what a connection may hold in blocks when SetBufferMax is not called: a block that was received
// and is not read, and a full backlog.
const BufferBytesDefault = recvBytes + backlogBytes

// Worker is what the connections of one event loop share: the kernel, the pool their blocks come from, and a scratch for
// gathering. It is used by that loop's goroutine only, as are its connections.
type Worker struct {
	kernel netio.Kernel
	blocks *buf.Pool
	gather []byte // plaintext of one record, put together by SendV
}

// NewWorker returns a Worker that reads and writes through k and borrows from blocks.
func NewWorker(k netio.Kernel, blocks *buf.Pool) *Worker {
	return &Worker{kernel: k, blocks: blocks, gather: make([]byte, 0, plaintextBytesMax)}
}
