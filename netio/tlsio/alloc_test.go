package tlsio

import (
	"testing"

	"weir/netio"
)

func wantNoAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestEstablishedConnectionsDoNotAllocate(t *testing.T) {
	if !layout.known || raceDetector {
		t.Skip("the innards of crypto/tls are not known, or the race detector allocates")
	}
	bothVersions(t, func(t *testing.T, version uint16) {
		client, server, _ := newSite(t, version, "p256").connected(t)
		req, p := make([]byte, 1024), make([]byte, 16<<10)
		wantNoAllocs(t, "an echo", func() { echoOnce(t, client, server, req, p) })
		big := make([]byte, 60<<10)
		wantNoAllocs(t, "four records", func() { passOn(t, client, server, big, p) })
		pieces := [][]byte{req[:100], req[:1], req, req[:300]}
		wantNoAllocs(t, "gathered pieces", func() {
			if n, io := client.SendV(pieces); n != 1425 || io != netio.OK {
				t.Fatalf("SendV: %d, %d", n, io)
			}
			server.Ready(netio.Readable)
			for {
				if _, io := server.Recv(p); io == netio.Again {
					return
				}
			}
		})
		wantNoAllocs(t, "nothing to read", func() { client.Recv(p) })
		wantNoAllocs(t, "idle", func() { client.Idle() })
		authority := []byte("WWW.example.com:8443")
		wantNoAllocs(t, "CoversAuthority", func() {
			if !server.CoversAuthority(authority) {
				t.Fatal("not covered")
			}
		})
		wantNoAllocs(t, "State", func() { _ = server.State().ALPN })
	})
}
