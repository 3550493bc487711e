package tlsio

import (
	"bytes"
	"testing"

	"weir/netio"
)

func TestEcho(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		s := newSite(t, version, "p256")
		client, server, _ := s.connected(t)
		if st := server.State(); st.Version != version || st.ALPN != "http/1.1" || st.ServerName != "example.com" || st.Resumed {
			t.Errorf("state %+v", st)
		}
		for _, size := range []int{1, 100, 1024, 16383, 16384, 16385, 40000} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			n, io := client.Send(want)
			if n != size || io != netio.OK {
				t.Fatalf("Send %d bytes: %d, %d", size, n, io)
			}
			if got := recvAll(t, server, size); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes arrived as something else", size)
			}
			if _, io := server.Recv(make([]byte, 1)); io != netio.Again {
				t.Fatalf("after the last byte: %d", io)
			}
		}
	})
}
