package netio

import "golang.org/x/sys/unix"

// ioOf is the one place where an errno becomes a word.
func ioOf(e unix.Errno) IO {
	switch e {
	case 0:
		return OK
	case unix.EAGAIN, unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return Again
	case unix.ECONNRESET, unix.EPIPE, unix.ECONNABORTED, unix.ENOTCONN, unix.ESHUTDOWN:
		return Reset
	case unix.ECONNREFUSED:
		return Refused
	case unix.ETIMEDOUT:
		return TimedOut
	case unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENETDOWN, unix.ENONET, unix.EADDRNOTAVAIL, unix.EADDRINUSE:
		return Unreachable
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		return NoFiles
	}
	return Failed
}

var ioNames = [...]string{"ok", "again", "eof", "reset", "refused", "timed out", "unreachable", "no files", "failed"}

// String is the outcome in words.
func (io IO) String() string { return ioNames[io] }
