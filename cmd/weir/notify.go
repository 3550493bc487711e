package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notify tells the service manager what the process does (sd_notify(3)). Without one it does nothing; a manager that does
// not listen is no reason to fail.
func (p *process) notify(lines ...string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if err := sendNotification(path, lines); err != nil {
		p.log.Warn("service manager not notified", "error", err)
	}
}

func sendNotification(path string, lines []string) error {
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:] // the abstract namespace of unix(7)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(strings.Join(lines, "\n")))
	return err
}

// monotonicUsec goes with RELOADING=1, so that the manager can tell which reload a later READY=1 belongs to.
func monotonicUsec() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("weir: the monotonic clock cannot be read: " + err.Error())
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000)
}
