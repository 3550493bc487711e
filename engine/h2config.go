package engine

import (
	"weir/h2"
	"weir/internal/config"
	"weir/internal/mono"
)

// windowOf is a flow-control window that lets a peer fill what one connection may hold, and not more.
func windowOf(bufferMax int) int32 { return int32(max(bufferMax, 64<<10)) }

// frontH2Config is how clients of a frontend are spoken to.
func frontH2Config(f *config.Frontend, bufferMax int) *h2.Config {
	c := h2.DefaultConfig(true)
	c.MaxConcurrentStreams = uint32(f.H2MaxConcurrentStreams)
	c.MaxHeaderList = uint32(f.MaxHeadSize)
	c.ConnWindow = windowOf(bufferMax)
	c.HeadTimeout = f.Timeouts.HTTPRequest
	return &c
}

// Windows towards servers. The clients of one server connection are strangers to each other: one that does not read may
// fill the window of its own stream, and must not fill that of the connection, which would stop all others. So the streams'
// windows alone bound what is held.
const (
	backStreamWindow = 64 << 10
	backConnWindow   = 1 << 30
)

// backH2Config is how servers of a backend are spoken to.
func backH2Config(b *config.Backend, bufferMax int) *h2.Config {
	c := h2.DefaultConfig(false)
	c.ConnWindow = backConnWindow
	c.InitialWindow = int32(min(bufferMax, backStreamWindow))
	c.MaxHeaderList = responseHeadMax
	return &c
}

// ping asks an idle connection whether it still lives before it is used (idle-ping). It reports whether the answer is
// still outstanding.
func (b *backH2) ping() {
	w := b.c.w
	b.pinged = w.now
	w.headBuf = b.codec.AppendPing(w.headBuf[:0], [8]byte{'w', 'e', 'i', 'r'})
	b.c.write(w.headBuf)
	b.c.arm(w.now.Add(b.c.srv.be.cfg.IdlePing))
}

// onPong is called when a ping is answered.
func (b *backH2) onPong() {
	if b.pinged.IsZero() {
		return
	}
	b.pinged = mono.Time(0)
	b.c.arm(b.codec.Deadline())
	b.c.srv.opened(b.c, b.c.w.exchanges.get(b.c.wanted))
}
