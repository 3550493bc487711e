package engine

import "weir/netio"

// handshakesPerTurn bounds the steps of TLS handshakes that are computed in one turn, in both roles. A step may cost as
// much as a hundred requests: a key exchange and a signature. Everybody else on the worker waits for all of a turn, and a
// request takes two of them; a turn itself costs so little that more steps in one would win nothing.
const handshakesPerTurn = 2

// handshakes is what a worker knows of handshakes that have something to do and must wait for another turn. Those under
// way come before those that only begin, so that what was begun is finished soon; otherwise they are served in order.
type handshakes struct {
	left    int           // steps that may still be made in this turn
	waiting []netio.Token // begun, and
	fresh   []netio.Token // not begun
	turn    *conn         // whose turn it is after waiting
}

func (h *handshakes) idle() bool { return len(h.waiting) == 0 && len(h.fresh) == 0 }

// next takes the one that has waited longest.
func (h *handshakes) next() (t netio.Token) {
	q := &h.waiting
	if len(*q) == 0 {
		q = &h.fresh
	}
	t, *q = (*q)[0], (*q)[1:]
	return t
}

// mayShake reports whether the connection may go on with its handshake now. If not, its owner's onReadable is called when
// it may. Who was let go on reports the step with shook.
func (c *conn) mayShake() bool {
	h := &c.w.handshakes
	if h.left > 0 && (h.turn == c || h.idle()) {
		return true
	}
	if c.has(inHandshakes) {
		return false
	}
	c.set(inHandshakes)
	if c.tls.Begun() {
		h.waiting = append(h.waiting, c.token)
	} else {
		h.fresh = append(h.fresh, c.token)
	}
	return false
}

// shook counts a step that was made. A server that still waits for its client's hello has computed nothing.
func (c *conn) shook() {
	if c.tls.Begun() {
		c.w.handshakes.left--
	}
}

// resumeHandshakes begins a turn: those that waited come first.
func (w *worker) resumeHandshakes() {
	h := &w.handshakes
	h.left = handshakesPerTurn
	for h.left > 0 && !h.idle() {
		c := w.conns.get(h.next())
		if c == nil || c.has(buried) {
			continue
		}
		c.clear(inHandshakes)
		h.turn = c
		c.owner.onReadable()
	}
	h.turn = nil
}
