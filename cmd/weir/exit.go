package main

import (
	"errors"
	"fmt"
	"io"

	"weir/internal/admin"
)

// The exit statuses. `weir check` has 2 for warnings under --strict, which is the same number as usage.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
	exitNobody  = 3
)

// exit is an error that decides the exit status. Every other error that a command returns is the library's complaint
// about how the command was called.
type exit struct {
	status int
	err    error // nil: everything was said already
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// refused is what could not be done, and why.
func refused(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, admin.ErrNobody) {
		return &exit{exitNobody, err}
	}
	return &exit{exitRefused, err}
}

// usage is a call that the command does not understand.
func usage(format string, args ...any) error { return &exit{exitUsage, fmt.Errorf(format, args...)} }

// statusOf prints an error where it belongs and returns the exit status.
func statusOf(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{exitUsage, err}
	}
	if e.err != nil {
		fmt.Fprintf(stderr, "weir: %v\n", e.err)
		if e.status == exitUsage {
			fmt.Fprintln(stderr, "Run 'weir help' for the commands, 'weir COMMAND --help' for one of them.")
		}
	}
	return e.status
}
