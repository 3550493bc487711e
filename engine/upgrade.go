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
