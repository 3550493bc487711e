package main

import (
	"io"
	"os"
	"sync"
)

// accessLog is where the engine writes its lines: a file that can be exchanged under it. A reload opens the path anew, so
// that a file which was rotated away is let go.
type accessLog struct {
	mu   sync.Mutex
	out  io.Writer
	file *os.File // to be closed; nil for stdout and stderr
}

// openAccessLog opens what access-log names. "off" is nil.
func openAccessLog(to string) (*accessLog, error) {
	switch to {
	case "off":
		return nil, nil
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

// Write implements io.Writer. Only the engine's log goroutine calls it.
func (l *accessLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(b)
}

// become makes l write where n writes; n is of no more use. Both are nil or neither is.
func (l *accessLog) become(n *accessLog) {
	if l == nil || n == nil {
		return
	}
	l.mu.Lock()
	old := l.file
	l.out, l.file = n.out, n.file
	l.mu.Unlock()
	if old != nil {
		_ = old.Close() // lines are written, not buffered: there is nothing that closing could lose
	}
}

func (l *accessLog) close() {
	if l != nil && l.file != nil {
		_ = l.file.Close()
	}
}

// writer is l as the engine wants it: a nil interface when the log is off.
func (l *accessLog) writer() io.Writer {
	if l == nil {
		return nil
	}
	return l
}
