package h2

import (
	"encoding/binary"

	"weir/internal/mono"
)

// Settings (RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1).
const (
	settingTableSize      = 0x1
	settingEnablePush     = 0x2
	settingMaxStreams     = 0x3
	settingInitialWindow  = 0x4
	settingMaxFrame       = 0x5
	settingMaxHeaderList  = 0x6
	settingEnableConnect  = 0x8
	settingNoRFC7540Prios = 0x9
)

const settingBytes = 6

// maxStreamsAssumed is how many streams a client role opens before the server's SETTINGS have come. Nothing is promised by
// then, and RFC 9113 section 6.5.2 recommends that nobody allow less than 100.
const maxStreamsAssumed = 100

// peerSettings is what the peer has set.
type peerSettings struct {
	maxStreams    uint32
	window        int32
	maxFrame      uint32
	maxHeaderList uint32
	connect       bool // extended CONNECT may be used (RFC 8441 section 3)
	seen          bool // the first SETTINGS has come
}

func initialPeer() peerSettings {
	return peerSettings{maxStreams: maxStreamsAssumed, window: windowInitial, maxFrame: frameBytesMin, maxHeaderList: 1<<32 - 1}
}

// ownSettings is what we have set. All but the streams' initial window is said once. Of two windows that the peer may go by
// while it has not acknowledged our latest SETTINGS, the larger one holds (RFC 9113 section 6.9.3).
type ownSettings struct {
	window  int32     // that a new stream of the peer's starts with
	next    int32     // the same, once SETTINGS are acknowledged
	waiting bool      // SETTINGS were sent and not acknowledged
	ackBy   mono.Time // 0: nothing is waited for
}

// announce notes that SETTINGS with this initial window leave.
func (c *Conn) announce(window int32) {
	c.own.next, c.own.waiting = window, true
	if c.cfg.SettingsTimeout > 0 {
		c.own.ackBy = c.now.Add(c.cfg.SettingsTimeout)
	}
	if window > c.own.window {
		c.shift(window)
	}
}

// shift changes the window that new streams start with, and with it those of the streams there are (section 6.9.2).
func (c *Conn) shift(window int32) {
	more := window - c.own.window
	c.own.window = window
	for s := c.streams.first; s != nil && more != 0; s = s.live.next {
		if s.receiving() {
			s.recv.left += more
			s.recv.size += more
		}
	}
}

// AppendPreface appends what we send first: in the client role the preface, then in both SETTINGS, and WINDOW_UPDATE for
// the connection if its window is larger than the protocol's (RFC 9113 section 3.4). It is called once, before all else.
func (c *Conn) AppendPreface(dst []byte, now mono.Time) []byte {
	cfg := c.cfg
	c.now, c.budget.settled = now, now
	c.announce(cfg.InitialWindow)
	if !cfg.Server {
		dst = append(dst, Preface...)
	}
	start := len(dst)
	dst = appendFrame(dst, 0, frameSettings, 0, 0)
	if cfg.Server {
		dst = appendSetting(dst, settingMaxStreams, cfg.MaxConcurrentStreams)
		dst = appendSetting(dst, settingNoRFC7540Prios, 1)
		if cfg.EnableConnect {
			dst = appendSetting(dst, settingEnableConnect, 1)
		}
	} else {
		dst = appendSetting(dst, settingEnablePush, 0)
	}
	if cfg.InitialWindow != windowInitial {
		dst = appendSetting(dst, settingInitialWindow, uint32(cfg.InitialWindow))
	}
	if cfg.MaxFrame != frameBytesMin {
		dst = appendSetting(dst, settingMaxFrame, cfg.MaxFrame)
	}
	dst = appendSetting(dst, settingMaxHeaderList, cfg.MaxHeaderList)
	putFrame(dst[start:], len(dst)-start-frameHeaderBytes, frameSettings, 0, 0)
	if more := cfg.openWindow() - windowInitial; more > 0 {
		dst = appendFrame32(dst, frameWindow, 0, uint32(more))
	}
	return dst
}

func appendSetting(dst []byte, id uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, id), v)
}

// onSettings takes as many settings as b holds whole. They apply in their order (RFC 9113 section 6.5.3).
func (c *Conn) onSettings(b []byte, ev *Event) (n int, err *Error) {
	if c.in.frame.has(flagAck) {
		return 0, c.onSettingsAck()
	}
	for c.in.left > 0 {
		if len(b)-n < settingBytes {
			return n, nil
		}
		p := b[n : n+settingBytes]
		if err := c.applySetting(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); err != nil {
			return n, err
		}
		n += settingBytes
		c.in.left -= settingBytes
	}
	if !c.peer.seen {
		c.peer.seen = true
	} else if err := c.charge(abuseSettings, 1); err != nil {
		return n, err
	}
	c.out.buf = appendFrame(c.block(), 0, frameSettings, flagAck, 0)
	ev.Kind = EventSettings
	c.in.done()
	return n, c.checkPending()
}

// onSettingsAck: our values hold from here on (RFC 9113 section 6.5.3). An acknowledgement of nothing is ignored.
func (c *Conn) onSettingsAck() *Error {
	c.in.done()
	if !c.own.waiting {
		return c.charge(abuseIgnored, 1)
	}
	c.own.waiting, c.own.ackBy = false, 0
	c.shift(c.own.next)
	if c.flow.recv.mode == modeTightening {
		c.onTight()
	}
	for s := c.streams.first; s != nil; s = s.live.next { // half of a smaller window may be free by now
		if s.receiving() {
			c.giveStream(s)
		}
	}
	return nil
}

func (c *Conn) applySetting(id uint16, v uint32) *Error {
	p := &c.peer
	switch id {
	case settingTableSize:
		c.enc.SetLimit(v)
	case settingEnablePush:
		if v > 1 || v == 1 && !c.cfg.Server {
			return errSettingValue
		}
	case settingMaxStreams:
		p.maxStreams = v
	case settingInitialWindow:
		if v > windowMax {
			return errSettingWindow
		}
		return c.setPeerWindow(int32(v))
	case settingMaxFrame:
		if v < frameBytesMin || v > frameBytesMax {
			return errSettingValue
		}
		p.maxFrame = v
	case settingMaxHeaderList:
		p.maxHeaderList = v
	case settingEnableConnect:
		if v > 1 || v == 0 && p.connect { // RFC 8441 section 3: it may not be taken back
			return errSettingValue
		}
		p.connect = v == 1
	case settingNoRFC7540Prios:
		if v > 1 {
			return errSettingValue
		}
	}
	return nil // RFC 9113 section 6.5.2: unknown ones are ignored
}

// setPeerWindow changes the windows of all streams by the difference; they may become negative (RFC 9113 section 6.9.2).
func (c *Conn) setPeerWindow(v int32) *Error {
	delta := int64(v) - int64(c.peer.window)
	c.peer.window = v
	c.sched.least = c.leastNow()
	for s := c.streams.first; s != nil; s = s.live.next {
		if s.state == stateIdle || s.state == stateClosed {
			continue
		}
		w := int64(s.send) + delta
		if w > windowMax {
			return errSettingWindow
		}
		s.send = int32(w)
		c.sched.refresh(s)
	}
	return nil
}

// PeerConnect reports whether the server offers extended CONNECT (RFC 8441 section 3).
func (c *Conn) PeerConnect() bool { return c.peer.connect }

// PeerReady reports whether the peer's SETTINGS have come.
func (c *Conn) PeerReady() bool { return c.peer.seen }
