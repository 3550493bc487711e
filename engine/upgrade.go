package engine

import (
	"crypto/sha1"
	"encoding/base64"

	"weir/internal/msg"
)

// openTunnel is called when the server agrees to switch. Client and server may say so in different words: 101 with a
// token in HTTP/1.1, 200 to an extended CONNECT in HTTP/2 and 3 (RFC 8441 section 5).
func (x *exchange) openTunnel(h *msg.Head) {
	x.req.state, x.req.ended = reqFlowing, false // what the client sends from here on has an end of its own
	x.bindConnection()
	streamed := x.req.head.Version >= msg.HTTP2
	switch {
	case streamed && h.Status == 101:
		h.Status = 200
		h.Reason = msg.Span{}
		h.DropAll(msg.FieldSecWebSocketAccept)
	case !streamed && h.Status == 200 && x.req.head.Flags.Has(msg.FlagUpgrade):
		h.Status = 101
		h.Reason = h.PutString("Switching Protocols")
		h.Protocol = h.Put(x.req.head.Bytes(x.req.head.Protocol))
		if key := x.req.head.Get(msg.FieldSecWebSocketKey); key != nil {
			h.Add(msg.FieldSecWebSocketAccept, "Sec-WebSocket-Accept", webSocketAccept(key))
		}
	}
	x.rsp.status = h.Status
}

// noTunnel is called by a back whose server has not offered extended CONNECT. Nothing of the request has been sent, and it is
// no failure: the same server is asked over HTTP/1, if that can be had.
func (x *exchange) noTunnel() {
	x.way.server.noTunnels = true
	if !x.needsH1() || x.w.stopped {
		x.detach(false)
		x.answer(causeUnknownProtocol)
		return
	}
	x.startOver()
}

// startOver leaves the connection that will not do, and looks for one that will.
func (x *exchange) startOver() {
	x.detach(false)
	x.req.ended = false
	x.req.replay.again()
	x.seek()
}

// opensNone reports whether a response to extended CONNECT says 2xx without being a switch: a server of HTTP/1 has served the
// request as if nobody had asked for an upgrade. To the client that 2xx would be the tunnel (RFC 8441 section 5).
func (x *exchange) opensNone(h *msg.Head) bool {
	r := &x.req.head
	return r.Version >= msg.HTTP2 && r.Flags.Has(msg.FlagUpgrade) && h.Status/100 == 2 && h.Framing != msg.BodyTunnel
}

// webSocketGUID is what RFC 6455 section 1.3 hashes a key with.
const webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// webSocketAccept is the proof that a server has understood the handshake (RFC 6455 section 4.2.2).
func webSocketAccept(key []byte) []byte {
	sum := sha1.Sum(append(append([]byte(nil), key...), webSocketGUID...))
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}

// webSocketKey is a fresh key for a server whose client, over HTTP/2 or 3, has sent none.
func (w *worker) webSocketKey() string {
	var key [16]byte
	for i := range key {
		key[i] = byte(w.rand.next())
	}
	return base64.StdEncoding.EncodeToString(key[:])
}
