package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// handoverEnv names the environment variable by which a process tells its successor which descriptors it has got.
const handoverEnv = "WEIR_HANDOVER"

// handoverNote is the content of that variable. Descriptors are numbers in the new process.
type handoverNote struct {
	Listeners sockets     `json:"listeners"`
	QUIC      quicSockets `json:"quic,omitempty"`
	Lives     []int       `json:"lives,omitempty"` // a pipe for each process before the new one: it ends with the process
	Admin     int         `json:"admin,omitempty"` // the admin listener; 0 none
	Ready     int         `json:"ready"`           // a pipe: the new process writes readyNote when it serves
	// Generation is that of the configuration in force; the new process counts on from it. A process that does not say it is
	// older than Refused, and takes every note for readiness.
	Generation uint64 `json:"generation,omitempty"`
}

// readyNote is what the new process says: that it serves, or why it will not.
type readyNote struct {
	Generation uint64 `json:"generation"`
	Refused    string `json:"refused,omitempty"`
}

// handover is what a process got from the one before it. The zero value is a start from nothing.
type handover struct {
	listeners sockets      // the engine takes out what it uses
	quic      quicSockets  // likewise
	lives     []*os.File   // pipes that end with the processes before this one
	admin     net.Listener // nil none
	pipe      *os.File     // nil: nobody waits

	generation uint64 // of the configuration of the process before this one; 0: there is none, or it does not say
}

// receive takes over the descriptors that a note names; an empty note is none. They are closed on exec from here on, and
// the note is gone from the environment: a process that this one starts must not take them for its own.
func receive(note string) (*handover, error) {
	h := &handover{}
	if note == "" {
		return h, nil
	}
	if err := os.Unsetenv(handoverEnv); err != nil {
		return nil, err
	}
	var n handoverNote
	if err := json.Unmarshal([]byte(note), &n); err != nil {
		return nil, fmt.Errorf("%s is not what a weir hands over: %w", handoverEnv, err)
	}
	h.listeners, h.quic, h.generation = n.Listeners, n.QUIC, n.Generation
	for _, fds := range n.Listeners {
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
	}
	for _, fd := range n.Lives {
		unix.CloseOnExec(fd)
		h.lives = append(h.lives, os.NewFile(uintptr(fd), "life of a process"))
	}
	if n.Ready > 0 {
		unix.CloseOnExec(n.Ready)
		h.pipe = os.NewFile(uintptr(n.Ready), "ready pipe")
	}
	if n.Admin > 0 {
		f := os.NewFile(uintptr(n.Admin), "admin listener")
		defer f.Close() // FileListener has its own
		var err error
		if h.admin, err = net.FileListener(f); err != nil {
			h.close()
			return nil, fmt.Errorf("admin listener that was handed over: %w", err)
		}
	}
	return h, nil
}

// isUpgrade reports whether another process goes on until this one is ready.
func (h *handover) isUpgrade() bool { return h.pipe != nil }

// ready tells the process before this one that it may go.
func (h *handover) ready(generation uint64) error { return h.tell(readyNote{Generation: generation}) }

// refuse tells the process before this one why it has to stay. Nothing but its log suffers when it cannot be told.
func (h *handover) refuse(why error) {
	if h.generation > 0 {
		_ = h.tell(readyNote{Refused: why.Error()})
	}
}

func (h *handover) tell(n readyNote) error {
	if h.pipe == nil {
		return nil
	}
	b, err := json.Marshal(n)
	if err != nil {
		panic("weir: a note that is no JSON: " + err.Error())
	}
	if _, err := h.pipe.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("tell the process before this one: %w", err)
	}
	return nil
}

// close closes what is left: sockets that nobody took, and the pipe, by whose end the other process learns that this one
// has come no further.
func (h *handover) close() {
	for _, fds := range h.listeners {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	for _, q := range h.quic {
		for _, fd := range q.Sockets {
			_ = unix.Close(fd)
		}
	}
	h.listeners, h.quic = nil, nil
	if h.pipe != nil {
		_ = h.pipe.Close()
	}
}
