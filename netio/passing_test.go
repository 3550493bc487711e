package netio

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// unixPair is two connected stream sockets.
func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// inode tells whether two descriptors are the same open file.
func inode(t *testing.T, fd int) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// sendReceive passes the list over a socket pair; the sender does not wait for the receiver.
func sendReceive(t *testing.T, list []Named) ([]Named, error) {
	t.Helper()
	a, b := unixPair(t)
	sent := make(chan error, 1)
	go func() { sent <- SendFDs(a, list) }()
	got, err := RecvFDs(b)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return got, err
}

// TestListenerOutlivesItsProcess passes a listening socket on while connections wait in its queue; the first owner closes
// it, and the next one accepts them all.
func TestListenerOutlivesItsProcess(t *testing.T) {
	k := openOne(t)
	o := &ListenOptions{Addr: netip.MustParseAddrPort("127.0.0.1:0")}
	fd, err := k.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Addr = k.LocalAddr(fd)
	const n = 8
	for range n {
		c, err := net.Dial("tcp", o.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	got, err := sendReceive(t, []Named{{"web 0", fd}})
	if err != nil || len(got) != 1 || got[0].Name != "web 0" || inode(t, got[0].FD) != inode(t, fd) {
		t.Fatalf("received %v, %v", got, err)
	}
	k.Close(fd)
	heir := openOne(t)
	o.KeepAlive = KeepAlive{Idle: 60, Interval: 10, Count: 6}
	if err := heir.Adopt(got[0].FD, o); err != nil {
		t.Fatal(err)
	}
	defer heir.Close(got[0].FD)
	for i := range n {
		conn, _, io := heir.Accept(got[0].FD)
		if io != OK {
			t.Fatalf("connection %d of %d: %v", i, n, io)
		}
		heir.Close(conn)
	}
	flags, err := unix.FcntlInt(uintptr(got[0].FD), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Error("an adopted descriptor would leak into programs that are started")
	}
}

func TestPassManyAndNone(t *testing.T) {
	for _, n := range []int{0, 1, 253, 254, 600} {
		var list []Named
		for i := range n {
			list = append(list, Named{Name: fmt.Sprint("socket ", i, strings.Repeat("x", i%200)), FD: 1 + i%2})
		}
		got, err := sendReceive(t, list)
		if err != nil || len(got) != n {
			t.Fatalf("received %d of %d: %v", len(got), n, err)
		}
		for i := range got {
			if got[i].Name != list[i].Name || inode(t, got[i].FD) != inode(t, list[i].FD) {
				t.Errorf("descriptor %d of %d is another one", i, n)
			}
			unix.Close(got[i].FD)
		}
	}
}

func TestNameTooLong(t *testing.T) {
	a, _ := unixPair(t)
	if SendFDs(a, []Named{{strings.Repeat("x", 256), 1}}) == nil {
		t.Error("a name of 256 bytes was sent, of which the other side would see none")
	}
}

// openFiles counts the process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

// TestRecvFDsRefuses sends what is not ours, with descriptors: an error, and none of them stays open.
func TestRecvFDsRefuses(t *testing.T) {
	rights := unix.UnixRights(1, 2)
	for name, c := range map[string]struct {
		msg    string
		rights []byte
	}{
		"fewer descriptors than names": {"\x00\x03\x00\x00\x00\x06\x01a\x01b\x01c", rights},
		"more descriptors than names":  {"\x00\x02\x00\x00\x00\x02\x01a", rights},
		"bytes after the names":        {"\x00\x02\x00\x00\x00\x05\x01a\x01bc", rights},
		"a name cut short":             {"\x00\x02\x00\x00\x00\x04\x01a\x05b", rights},
		"names of a gigabyte":          {"\x00\x02\x40\x00\x00\x00\x01a", rights},
		"an unknown flag":              {"\x02\x02\x00\x00\x00\x04\x01a\x01b", rights},
		"a head cut short":             {"\x00\x02\x00", rights},
		"no descriptors at all":        {"\x00\x01\x00\x00\x00\x02\x01a", nil},
		"names that never come":        {"\x00\x02\x00\x00\x00\x04", rights},
	} {
		a, b := unixPair(t)
		before := openFiles(t)
		if _, _, err := a.WriteMsgUnix([]byte(c.msg), c.rights, nil); err != nil {
			t.Fatal(err)
		}
		a.CloseWrite()
		list, err := RecvFDs(b)
		if err == nil || list != nil {
			t.Errorf("%s: received %v", name, list)
		}
		if after := openFiles(t); after != before {
			t.Errorf("%s: %d descriptors were left open", name, after-before)
		}
	}
}

// FuzzNames: whatever the names, each descriptor of the batch gets one and all bytes are used, or it is an error.
func FuzzNames(f *testing.F) {
	f.Add(uint8(2), []byte("\x01a\x02bc"))
	f.Add(uint8(0), []byte{})
	f.Add(uint8(1), []byte("\x05abc"))
	f.Fuzz(func(t *testing.T, count uint8, names []byte) {
		batch := make([]Named, count)
		if setNames(batch, names) != nil {
			return
		}
		var again []byte
		for _, n := range batch {
			again = append(append(again, byte(len(n.Name))), n.Name...)
		}
		if string(again) != string(names) {
			t.Errorf("%q became %q", names, again)
		}
	})
}
