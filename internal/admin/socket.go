package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// socketPathMax is what sun_path holds on Linux, without the final NUL (unix(7)).
const socketPathMax = 107

// socketFile is the runtime socket's place in the file system.
type socketFile struct {
	path string
	info fs.FileInfo // of the socket that we put there
}

// listenUnix binds the runtime socket. The socket is made under another name, given mode 0600 and only then put at its
// place, so that there is no moment at which it answers to more than its owner.
//
// replace is for an upgrade: the running process answers there, and the new one takes the place with a rename, without a
// moment at which nobody answers. Otherwise a socket that is there is removed if nobody answers at it, and only then.
func listenUnix(path string, replace bool) (net.Listener, *socketFile, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	temp := filepath.Join(dir, ".weir-"+strconv.Itoa(os.Getpid()))
	if n := max(len(path), len(temp)); n > socketPathMax {
		return nil, nil, fmt.Errorf("runtime socket %s: path is %d bytes too long", path, n-socketPathMax)
	}
	_ = os.Remove(temp) // of a process that had our number and died right here
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	// Go would remove the name it was bound to; the file at path is removed by socketFile.remove.
	ln.SetUnlinkOnClose(false)
	file, err := placeSocket(temp, path, replace)
	if err != nil {
		_ = ln.Close()
		_ = os.Remove(temp)
		return nil, nil, fmt.Errorf("runtime socket %s: %w", path, err)
	}
	return ln, file, nil
}

func placeSocket(temp, path string, replace bool) (*socketFile, error) {
	if err := os.Chmod(temp, 0o600); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, err
	}
	if replace {
		err = os.Rename(temp, path)
	} else {
		err = claim(temp, path)
	}
	if err != nil {
		return nil, err
	}
	return &socketFile{path: path, info: info}, nil
}

// claim puts temp at path unless someone answers there. A hard link fails if the name is taken, so of two processes that
// start at once only one can win a free name.
func claim(temp, path string) error {
	err := os.Link(temp, path)
	if errors.Is(err, fs.ErrExist) {
		if err = removeStale(path); err == nil {
			err = os.Link(temp, path)
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(temp)
}

var errAnswered = errors.New("another weir answers there")

// removeStale removes a socket at which nobody answers.
func removeStale(path string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if before.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket")
	}
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	if err == nil {
		_ = conn.Close()
		return errAnswered
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return errAnswered // its backlog is full: it is busy, not dead
	}
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	// Another process may have put its socket there since; that one is not stale.
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		return errAnswered
	}
	return os.Remove(path)
}

// remove takes the socket away if it is still ours: after an upgrade the new process's stands there.
func (f *socketFile) remove() {
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(f.info, now) {
		_ = os.Remove(f.path)
	}
}
