package h2

import "time"

// What a peer may send is bounded twice: the bytes of a connection that wait for their readers never exceed ConnWindow,
// and a stream whose reader has stalled leaves window to the others.
//
// While readers keep up the connection is open: every stream has InitialWindow, so that most bodies need no round trip, and
// the connection's window is a part of ConnWindow only. When a quarter of that part waits for readers it tightens: SETTINGS
// take all streams back to a small share (RFC 9113 section 6.9.2; windows may become negative by it), the kept part of the
// connection's window is opened, and from then on streams are lent what they need out of what nobody holds. No stream can
// be stopped by the connection's window any more, since all that was lent fits into it.
//
//	       a quarter of the window is held        acknowledged
//	open ────────────────────────────► tightening ────────────► tight
//	  ▲                                                           │
//	  └───────── next to nothing is held, for tightFor ───────────┘

// windowMode is which of the two rules holds.
type windowMode uint8

const (
	modeOpen       windowMode = iota // exactly when streams start with InitialWindow
	modeTightening                   // exactly when the peer was told the small share and has not acknowledged it
	modeTight                        // exactly when streams are lent their windows
)

const (
	connWindowMin = 8 << 10 // the least ConnWindow that the shares below make sense with
	shareMin      = 64      // what a stream can always have
	grantMin      = 64      // an update of less is not worth its frame (tinyIncrement)
)

// tightFor is how long a connection stays tight at least. It bounds how often SETTINGS change: a peer may count them.
const tightFor = 4 * time.Second

// openWindow is the connection's window while it is open: what is kept back is for the streams that come when all of it is
// held. Less than the protocol's first window cannot be had; it is not opened again then before enough has left.
func (c *Config) openWindow() int32 { return c.ConnWindow / 4 * 3 }

// share is the window that every stream has while the connection is tight: all of them together what openWindow
// leaves of ConnWindow. It is all that is sure: what was lent to a stream that then stalls does not come back.
func (c *Config) share() int32 {
	return min(max(c.ConnWindow/4/int32(min(c.MaxConcurrentStreams, 1<<16)), shareMin), c.InitialWindow)
}

// recvWindow is the window of one stream for what the peer sends. While nothing is lost left, held and credit add up to
// size.
type recvWindow struct {
	left   int32 // what the peer may still send; negative when the window was made smaller than what is held
	held   int32 // what came and was not consumed
	credit int32 // what can be given back by WINDOW_UPDATE; negative after the size was made smaller
	size   int32
}

func (w *recvWindow) open(size int32) { w.left, w.size = size, size }

// connWindow is the same of the whole connection.
type connWindow struct {
	recvWindow
	mode  windowMode
	until int64 // mono.Time before which the connection stays tight
}

func newConnWindow(cfg *Config) connWindow {
	size := cfg.openWindow()
	left := max(size, windowInitial)
	return connWindow{recvWindow: recvWindow{left: left, credit: size - left, size: size}}
}

// release gives n bytes that were held back to the peer for the connection.
func (c *Conn) release(n int32) {
	c.flow.recv.held -= n
	c.credit(n)
}

// credit gives n bytes back to the peer for the connection: when a quarter of the window is free to be given, or earlier
// when the peer is short of it.
func (c *Conn) credit(n int32) {
	w := &c.flow.recv
	w.credit += n
	switch {
	case w.credit >= w.size/4, w.mode == modeTight && w.left < w.size/8 && w.credit >= grantMin:
		c.giveConn()
	}
}

func (c *Conn) giveConn() {
	w := &c.flow.recv
	if w.credit <= 0 || c.failed != nil {
		return
	}
	c.out.buf = appendFrame32(c.block(), frameWindow, 0, uint32(w.credit))
	w.left += w.credit
	w.credit = 0
}

// creditStream gives n bytes back to the peer for a stream: when half of its window is free to be given. Nobody needs a
// window who has nothing more to send.
func (c *Conn) creditStream(s *Stream, n int32) {
	if !s.receiving() {
		return
	}
	s.recv.credit += n
	c.giveStream(s)
}

func (c *Conn) giveStream(s *Stream) {
	w := &s.recv
	if w.credit <= 0 || w.credit < w.size/2 || w.held > w.size-w.size/2 || c.failed != nil {
		return
	}
	if c.flow.recv.mode == modeTight {
		want := w.size
		if w.held == 0 { // the reader keeps up
			want *= 2
		}
		if c.resize(s, want); w.credit < grantMin {
			return
		}
	}
	c.out.buf = c.appendUpdate(c.block(), s)
}

// appendUpdate appends the WINDOW_UPDATE that gives a stream its credit. While the connection is tight it comes with what
// the connection can have, so that the stream can use it.
func (c *Conn) appendUpdate(dst []byte, s *Stream) []byte {
	w := &s.recv
	dst = appendFrame32(dst, frameWindow, s.ID, uint32(w.credit))
	w.left += w.credit
	w.credit = 0
	if cw := &c.flow.recv; cw.mode == modeTight && cw.credit > 0 {
		dst = appendFrame32(dst, frameWindow, 0, uint32(cw.credit))
		cw.left += cw.credit
		cw.credit = 0
	}
	return dst
}

// regulate goes from one mode to the other when it is time. It runs between two events, when all that could leave has.
func (c *Conn) regulate() {
	w := &c.flow.recv
	switch {
	case w.mode == modeOpen && w.held > w.size/4 && !c.own.waiting && c.cfg.share() < c.own.window:
		w.mode = modeTightening
		c.resettle(c.cfg.share())
	case w.mode == modeTight && w.held <= w.size/16 && int64(c.now) >= w.until:
		c.loosen()
	}
}

// resettle sends SETTINGS with another initial window.
func (c *Conn) resettle(window int32) {
	b := appendFrame(c.block(), settingBytes, frameSettings, 0, 0)
	c.out.buf = appendSetting(b, settingInitialWindow, uint32(window))
	c.announce(window)
}

// onTight is called when the peer has made the streams' windows small. What was kept back of the connection's is opened.
func (c *Conn) onTight() {
	w := &c.flow.recv
	w.mode, w.until = modeTight, int64(c.now.Add(tightFor))
	w.credit += c.cfg.ConnWindow - w.size
	w.size = c.cfg.ConnWindow
	c.giveConn()
}

// loosen goes back to large windows. What streams were lent beyond them is not given back by it.
func (c *Conn) loosen() {
	w := &c.flow.recv
	w.mode = modeOpen
	w.credit -= w.size - c.cfg.openWindow()
	w.size = c.cfg.openWindow()
	c.resettle(c.cfg.InitialWindow)
	for s := c.streams.first; s != nil; s = s.live.next {
		if s.receiving() {
			s.recv.credit -= s.recv.size - c.cfg.InitialWindow
			s.recv.size = c.cfg.InitialWindow
		}
	}
}

// spare is what nobody holds, may hold, or is sure to be given when it comes. users is how many streams use more than the
// share that is theirs anyway.
func (c *Conn) spare() (n, users int32) {
	cfg, share := c.cfg, c.cfg.share()
	unopened := int64(cfg.MaxConcurrentStreams) - int64(c.streams.active)
	n = cfg.ConnWindow - int32(min(max(unopened, 0)*int64(share), int64(cfg.ConnWindow/4)))
	for s := c.streams.first; s != nil; s = s.live.next {
		has := s.recv.held
		if s.receiving() && c.flow.recv.mode != modeOpen {
			has = max(has, s.recv.size)
		}
		if n -= has; has > share {
			users++
		}
	}
	return n, users
}

// Roomy is how many streams can be opened that will find windows worth having: all that Open gives, or few where many bodies
// wait for their readers already.
func (c *Conn) Roomy() int {
	n := c.FreeStreams()
	if n == 0 || c.flow.recv.mode == modeOpen {
		return n
	}
	_, users := c.spare()
	return max(0, min(n, int(c.cfg.ConnWindow/roomyWindow-users)))
}

// roomyWindow is the part of ConnWindow that a stream should find.
const roomyWindow = 12 << 10

// lend gives a new stream more than its share while the connection is tight, and reports whether there was something. It
// leaves an eighth of ConnWindow to streams whose readers have been seen to keep up.
func (c *Conn) lend(s *Stream) bool {
	if c.flow.recv.mode != modeTight || !s.receiving() {
		return false
	}
	spare, _ := c.spare()
	n := (spare - c.cfg.ConnWindow/8) / 16
	if n < grantMin {
		return false
	}
	c.resize(s, s.recv.size+n)
	return s.recv.credit >= grantMin
}

// resize changes the window of a stream towards want. All users of the connection get the same, as far as it is there:
// never more than half of what is spare goes to one, so that there is something for the next. A stream that has more than
// the others since before they came gives of it as its reader takes.
func (c *Conn) resize(s *Stream, want int32) {
	w, cfg := &s.recv, c.cfg
	spare, users := c.spare()
	if w.size <= cfg.share() {
		users++
	}
	fair := min(max(cfg.ConnWindow/max(users, 1), cfg.share()), cfg.InitialWindow)
	n := min(want, fair) - w.size
	if n > 0 {
		n = min(n, max(spare, 0)/2)
	}
	w.size += n
	w.credit += n
}

// lenience is what a stream may send beyond its window while the connection is tight. A peer that overlooks how small the
// windows have become harms its own streams only: the connection's window still bounds what is held.
func (c *Conn) lenience() int32 { return max(0, c.cfg.InitialWindow-c.own.window) }
