package engine

import (
	"sync/atomic"
	"time"
)

// ownerIDs numbers sessions over all workers; 0 is nobody.
type ownerIDs struct{ last atomic.Uint64 }

func (o *ownerIDs) next() uint64 { return o.last.Add(1) }

// dateText is the value of Date, made once a second.
type dateText struct {
	second int64
	text   []byte
}

// httpDate is the current time as RFC 9110 section 5.6.7 writes it. It is valid until the next call.
func (w *worker) httpDate() []byte {
	if s := w.wall / int64(time.Second); s != w.date.second || w.date.text == nil {
		w.date.second = s
		w.date.text = time.Unix(s, 0).UTC().AppendFormat(w.date.text[:0], "Mon, 02 Jan 2006 15:04:05 GMT")
	}
	return w.date.text
}

// internsMax bounds the names that a worker remembers.
const internsMax = 4096

// intern returns b as a string in lower case, the same one each time, so that pool keys of hosts cost no memory.
func (w *worker) intern(b []byte) string {
	if s, ok := w.names[string(b)]; ok {
		return s
	}
	lower := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	if w.names == nil || len(w.names) >= internsMax {
		w.names = map[string]string{}
	}
	s := string(lower)
	w.names[string(b)] = s
	return s
}
