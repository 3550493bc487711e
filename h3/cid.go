package h3

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/quic-go/quic-go"
)

// A connection ID of ours says where its packets belong:
//
//	┌────────┬─────────────────┬──────────────────────────┐
//	│ worker │ tag of process  │ random                   │
//	│ 1 byte │ 2 bytes         │ 7 bytes                  │
//	└────────┴─────────────────┴──────────────────────────┘
//
// The first byte modulo the number of workers is the worker, spread over all values of a byte so that it does not stand
// out. The tag tells two processes apart that share a port while one takes over from the other. Neither tells an observer
// more than the port does.
const (
	idBytes     = 10
	idTagAt     = 1
	idRandomAt  = 3
	randomBytes = 512 // fetched at once
)

// WorkersMax is how many workers an endpoint can have: as many as a byte of a connection ID can name.
const WorkersMax = 256

// idMaker makes the connection IDs of one worker's transport. QUIC calls it from several goroutines.
type idMaker struct {
	worker, workers int
	tag             uint16

	mu   sync.Mutex
	pool [randomBytes]byte
	left int
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (m *idMaker) GenerateConnectionID() (quic.ConnectionID, error) {
	var id [idBytes]byte
	var spread [1]byte
	m.random(spread[:])
	m.random(id[idRandomAt:])
	id[0] = workerByte(spread[0], m.worker, m.workers)
	id[idTagAt], id[idTagAt+1] = byte(m.tag>>8), byte(m.tag)
	return quic.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (m *idMaker) ConnectionIDLen() int { return idBytes }

// workerByte is one of the bytes that are worker modulo workers; which one, random decides.
func workerByte(random byte, worker, workers int) byte {
	turns := (WorkersMax - worker + workers - 1) / workers // how many such bytes there are
	return byte(worker + int(random)%turns*workers)
}

func (m *idMaker) random(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left < len(b) {
		rand.Read(m.pool[:])
		m.left = len(m.pool)
	}
	copy(b, m.pool[len(m.pool)-m.left:])
	m.left -= len(b)
}

// checkWorkers panics for a number of workers that a byte cannot name.
func checkWorkers(n int) {
	if n < 1 || n > WorkersMax {
		panic(fmt.Sprintf("h3: %d workers", n))
	}
}
