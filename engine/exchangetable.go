package engine

import "weir/netio"

// exchangesKept bounds the records that a worker keeps for the next exchanges; each holds its head's memory.
const exchangesKept = 1024

// exchangeTable gives out exchange records and finds them by the token of their timers.
type exchangeTable struct {
	entries []*exchange
	free    []*exchange
	ended   []*exchange   // given back in this turn; something on the stack may still refer to them
	spare   []netio.Token // entries without a record
	live    int
}

// get returns the exchange of a token if it is still the one that the token was made for.
func (t *exchangeTable) get(tok netio.Token) *exchange {
	i := tok.Index()
	if int(i) >= len(t.entries) {
		return nil
	}
	if x := t.entries[i]; x != nil && x.token == tok && x.place != placeEnded {
		return x
	}
	return nil
}

// take returns an empty record.
func (t *exchangeTable) take(w *worker) *exchange {
	t.live++
	if n := len(t.free); n > 0 {
		x := t.free[n-1]
		t.free = t.free[:n-1]
		return x
	}
	x := &exchange{w: w}
	if n := len(t.spare); n > 0 {
		x.token, t.spare = t.spare[n-1], t.spare[:n-1]
		t.entries[x.token.Index()] = x
	} else {
		x.token = netio.NewToken(uint32(len(t.entries)), 1)
		t.entries = append(t.entries, x)
	}
	x.timer.Kind, x.timer.Token = uint8(timerExchange), x.token
	x.req.replay.held.Init(w.bufs)
	return x
}

// put gives a record back at the end of the turn.
func (t *exchangeTable) put(x *exchange) {
	t.live--
	t.ended = append(t.ended, x)
}

// recycle makes the records that ended in this turn ready for new exchanges.
func (t *exchangeTable) recycle() {
	for i, x := range t.ended {
		x.recycle()
		if len(t.free) < exchangesKept {
			t.free = append(t.free, x)
		} else {
			x.w.wheel.Disarm(&x.timer)
			t.entries[x.token.Index()] = nil
			t.spare = append(t.spare, x.token)
		}
		t.ended[i] = nil
	}
	t.ended = t.ended[:0]
}
