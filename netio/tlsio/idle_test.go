package tlsio

import (
	"runtime"
	"testing"

	"weir/netio"
)

// inUse is the memory of the heap and of stacks after everything that is garbage was collected.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestIdleConnectionHoldsAtMost8KiB(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		w := newWorker(new(sockets))
		s.connectedOn(t, w) // caches, pools and the certificate
		const pairs = 100
		big, p := make([]byte, 20<<10), make([]byte, 64<<10)
		var ends []*Conn
		before := inUse()
		for range pairs {
			client, server := s.connectedOn(t, w)
			for _, d := range [][2]*Conn{{client, server}, {server, client}} {
				if n, io := d[0].Send(big); n != len(big) || io != netio.OK {
					t.Fatalf("Send: %d, %d", n, io)
				}
				for got := 0; got < len(big); {
					n, _ := d[1].Recv(p)
					got += n
				}
			}
			for _, c := range []*Conn{client, server} {
				if _, io := c.Recv(p); io != netio.Again {
					t.Fatalf("not drained: %d", io)
				}
				c.Idle()
				if c.Held() != 0 {
					t.Errorf("an idle connection holds %d bytes of blocks", c.Held())
				}
				ends = append(ends, c)
			}
		}
		each := (inUse() - before) / int64(len(ends))
		t.Logf("%d bytes for an idle connection", each)
		if limit := int64(8 << 10); layout.known && each > limit {
			t.Errorf("an idle connection holds %d bytes, more than %d", each, limit)
		}
		runtime.KeepAlive(ends)
	})
}
