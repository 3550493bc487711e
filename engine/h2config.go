package engine

import (
	"weir/h2"
	"weir/internal/config"
	"weir/internal/mono"
)

// frontH2Config is how clients of a frontend are spoken to.
func frontH2Config(f *config.Frontend, bufferMax int) *h2.Config {
	c := h2.DefaultConfig(true)
	c.MaxConcurrentStreams = uint32(f.H2MaxConcurrentStreams)
	c.MaxHeaderList = uint32(f.MaxHeadSize)
	holdAtMost(&c, bufferMax)
	c.HeadTimeout = f.Timeouts.HTTPRequest
	return &c
}

// backH2Config is how servers of a backend are spoken to.
func backH2Config(bufferMax int) *h2.Config {
	c := h2.DefaultConfig(false)
	holdAtMost(&c, bufferMax)
	c.MaxHeaderList = responseHeadMax
	return &c
}

// holdAtMost makes a peer's windows so that what waits for readers on one connection stays within the bound. Less than
// holdMin cannot be had.
func holdAtMost(c *h2.Config, bufferMax int) { c.ConnWindow = int32(max(bufferMax, holdMin)) }

// holdMin is what every peer may send before it has read our settings (RFC 9113 section 6.9.2), and as much more as lets
// other streams go on when one has sent that.
const holdMin = 80 << 10

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

// frameRoomMin is the room in our own buffer that a DATA frame is begun for. Room comes back in one piece when the backlog has
// left; to fill it to the last byte would make frames of a few bytes, which cost the peer as much as large ones.
const frameRoomMin = 4 << 10

// frameRoom is room for DATA frames.
func (c *conn) frameRoom(bound int) int {
	n := c.room(bound)
	if n < frameRoomMin {
		c.starve(bound)
		return 0
	}
	return n
}
