package e2e

import (
	be "encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

const v2Signature = "\r\n\r\n\x00\r\nQUIT\n"

// v2 is a PROXY header of version 2 for TCP over IPv4, with an extension behind the addresses.
func v2(command byte, from, to netip.AddrPort) string {
	b := []byte(v2Signature)
	b = append(b, 0x20|command, 0x11, 0, 12+4)
	b = append(append(b, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	b = be.BigEndian.AppendUint16(b, from.Port())
	b = be.BigEndian.AppendUint16(b, to.Port())
	return string(append(b, 0x04, 0, 1, 0)) // PP2_TYPE_NOOP
}

var (
	aClient = netip.MustParseAddrPort("192.0.2.1:40000")
	aProxy  = netip.MustParseAddrPort("198.51.100.1:443")
)

// A PROXY header says who the client is. It comes before anything else, TLS too.
func TestProxyHeaderIsAccepted(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, plain)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: "accept-proxy = true"})
		for header, client := range map[string]string{
			"PROXY TCP4 192.0.2.1 198.51.100.1 40000 443\r\n":  "192.0.2.1",
			"PROXY TCP6 2001:db8::1 2001:db8::2 40000 443\r\n": "2001:db8::1",
			"PROXY UNKNOWN\r\n":                     "127.0.0.1", // what the connection itself says
			"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n": "127.0.0.1",
			v2(1, aClient, aProxy):                  "192.0.2.1",
			v2(0, aClient, aProxy):                  "127.0.0.1", // LOCAL: a health check of the proxy
			v2Signature + "\x21\x00\x00\x00":        "127.0.0.1", // unspecified protocol
		} {
			p := w.dialWith(t, header)
			p.ask("GET / HTTP/1.1", host, "Connection: close")
			if got := back.serveOne().get("X-Forwarded-For"); got != client {
				t.Errorf("%q: the client is %q, want %q", header, got, client)
			}
			p.response().want(t, ok)
			p.end()
		}
	})
}

// prefixed is a connection whose first write begins with bytes of somebody else.
type prefixed struct {
	net.Conn
	first string
}

func (c *prefixed) Write(p []byte) (int, error) {
	n := len(c.first)
	m, err := c.Conn.Write(append([]byte(c.first), p...))
	c.first = ""
	return max(0, m-n), err
}

// It may come in pieces, and its last bytes together with the first of HTTP, or of TLS.
func TestProxyHeaderInPieces(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: "accept-proxy = true"})
		for _, header := range []string{"PROXY TCP4 192.0.2.1 198.51.100.1 40000 443\r\n", v2(1, aClient, aProxy)} {
			for apart := range len(header) + 1 {
				p := w.dialRaw("8080")
				for i := range apart {
					p.send(header[i : i+1])
				}
				p.conn = &prefixed{p.conn, header[apart:]}
				if over == tlsed {
					p.conn = secured(t, p.conn, asClient("a.example"))
				}
				p.ask("GET / HTTP/1.1", host)
				back.serveOne().want(t, "GET / HTTP/1.1", "X-Forwarded-For: 192.0.2.1")
				p.response()
				p.close()
			}
		}
	})
}

// Without a header, or with one that is none, nothing is believed and nothing answered.
func TestProxyHeaderThatIsNone(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: "accept-proxy = true"})
		for _, bad := range []string{
			"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 40000\r\n", "PROXY TCP4 192.0.2.999 198.51.100.1 1 2\r\n",
			v2Signature + "\x31\x11\x00\x00", v2Signature + "\x21\x11\x00\x04abcd", string(clientHello(t)),
		} {
			p := w.dialRaw("8080")
			p.send(bad)
			p.gone()
			if len(p.in) > 0 {
				t.Errorf("%q is answered: %q", bad, p.in)
			}
		}
		if back.connections() != 0 {
			t.Error("something has reached the server")
		}
	})
}

// send-proxy tells the server who the client is; such a connection is that client's alone.
func TestProxyHeaderIsSent(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		for version, read := range map[string]func(*peer) string{"v1": readV1, "v2": readV2} {
			back := listen(t, plain)
			w := start(t, setup{over: over, servers: []*origin{back}, backend: "reuse = \"always\"\nsend-proxy = \"" + version + "\""})
			for range 2 {
				client := w.dial()
				client.ask("GET /1 HTTP/1.1", host)
				server := back.accept()
				if got, want := read(server), client.conn.LocalAddr().String()+" "+w.front(); got != want {
					t.Errorf("%s: the server is told %q, want %q", version, got, want)
				}
				server.request().want(t, "GET /1 HTTP/1.1")
				server.answer(ok, hello...)
				client.response()
				client.ask("GET /2 HTTP/1.1", host)
				server.serve().want(t, "GET /2 HTTP/1.1") // the same client goes on with it
				client.response()
				client.close()
				server.gone()
			}
			w.wantMetric(2, "weir_server_connections_opened_total", "why", "private")
			w.wantMetric(2, "weir_server_connections_closed_total", "cause", "session-end")
		}
	})
}

func readV1(p *peer) string {
	var from, to string
	var fromPort, toPort int
	line := p.upto("\r\n")
	if _, err := fmt.Sscanf(line, "PROXY TCP4 %s %s %d %d\r\n", &from, &to, &fromPort, &toPort); err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	return fmt.Sprintf("%s:%d %s:%d", from, fromPort, to, toPort)
}

func readV2(p *peer) string {
	p.bytes(v2Signature + "\x21\x11\x00\x0c")
	b := []byte(p.take(12))
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[0:4])), be.BigEndian.Uint16(b[8:]))
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), be.BigEndian.Uint16(b[10:]))
	return from.String() + " " + to.String()
}
