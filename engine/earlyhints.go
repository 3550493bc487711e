package engine

import (
	"bytes"

	"weir/internal/msg"
)

// hintEarly sends the backend's early-hints as a 103 before its server is asked (RFC 8297): a page's own resources can be
// fetched while the page is still being made. It is for pages only, and not for clients that know no interim responses.
func (x *exchange) hintEarly() {
	hints := x.way.backend.cfg.EarlyHints
	h := &x.req.head
	if len(hints) == 0 || h.Method != msg.MethodGet || h.Version == msg.HTTP10 || !wantsPage(h) {
		return
	}
	r := &x.w.rspHead
	r.Reset()
	r.Version, r.Status = msg.HTTP11, 103
	r.Reason = r.PutString("Early Hints")
	for _, link := range hints {
		x.w.fieldBuf = append(x.w.fieldBuf[:0], link...)
		r.Add(msg.FieldLink, "Link", x.w.fieldBuf)
	}
	x.front.rspInterim(r)
}

// wantsPage reports whether a browser asks for a document.
func wantsPage(h *msg.Head) bool {
	if d := h.Get(msg.FieldSecFetchDest); d != nil {
		return string(d) == "document" || string(d) == "iframe"
	}
	return bytes.Contains(h.Get(msg.FieldAccept), []byte("text/html"))
}
