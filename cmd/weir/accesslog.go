package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"weir/internal/config"
)

// accessLog is where the engine writes its lines: a file that can be exchanged under it. A reload opens the path anew, so
// that a file which was rotated away is let go. The zero value is an access log that is off.
type accessLog struct {
	mu   sync.Mutex
	out  io.Writer // nil: off
	file *os.File  // to be closed; nil for stdout and stderr
}

// openAccessLog opens what access-log names.
func openAccessLog(to string) (*accessLog, error) {
	switch to {
	case config.AccessLogOff:
		return &accessLog{}, nil
	case "stdout":
		return &accessLog{out: os.Stdout}, nil
	case "stderr":
		return &accessLog{out: os.Stderr}, nil
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	return &accessLog{out: f, file: f}, nil
}

// errLogOff is for a line that was too late for the access log that it was meant for; the engine counts it.
var errLogOff = errors.New("the access log is off")

// Write implements io.Writer. Only the engine's log goroutine calls it.
func (l *accessLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil {
		return 0, errLogOff
	}
	return l.out.Write(b)
}

// become makes l write where n writes and returns where it wrote, for who closes that. n is of no more use.
func (l *accessLog) become(n *accessLog) (old *accessLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old = &accessLog{out: l.out, file: l.file}
	l.out, l.file = n.out, n.file
	return old
}

// close closes the file. Lines are written, not buffered: there is nothing that closing could lose.
func (l *accessLog) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}
