package e2e

import (
	"testing"

	"golang.org/x/net/http2"
)

// A server that breaks the rules of the connection has sent a bad response to all that wait on it, and is cut off: it has not
// gone by itself.
func TestH2ServerBreaksTheConnection(t *testing.T) {
	t.Parallel()
	for what, breach := range map[string]func(p *h2Peer) error{
		"SETTINGS of one byte": func(p *h2Peer) error { return p.framer.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1}) },
		"a frame too large":    func(p *h2Peer) error { return p.framer.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<17)) },
		"a stream of its own": func(p *h2Peer) error {
			return p.tryHead(2, true, p.encode(":status", "200"))
		},
		"a push": func(p *h2Peer) error {
			return p.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: p.encode(p.request("GET", "/")...), EndHeaders: true})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			back := listen(t, plain)
			w := start(t, h2cSetup(back, ""))
			client := w.dial()
			client.ask("GET / HTTP/1.1", host)
			server := back.acceptH2()
			server.asked(1)
			_ = breach(server)
			client.response().want(t, "HTTP/1.1 502 Bad Gateway", `Proxy-Status: weir; error=http_protocol_error; details="bad-response"`)
			w.wantMetric(1, "weir_server_connections_closed_total", "cause", "protocol-error")
		})
	}
}
