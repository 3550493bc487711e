package h3

import "weir/internal/msg"

// Settings (RFC 9114 section 7.2.4.1, RFC 9204 section 5, RFC 9220 section 3, RFC 9297 section 2.1.1).
const (
	settingTableCapacity    = 0x01
	settingMaxFieldSection  = 0x06
	settingBlockedStreams   = 0x07
	settingEnableConnect    = 0x08
	settingDatagram         = 0x33
	settingsKept            = 16 // distinct ones that are looked at for repetition
	settingsBytesMax        = 4 << 10
	controlFrameBytesMax    = 1 << 10
	priorityUpdateBytesMax  = 256
	controlFramesFree       = 512 // frames on a control stream that cost nothing
	controlFramesPerRequest = 8   // and that each request pays for
)

// reservedSetting reports whether id was a setting in HTTP/2 that has no counterpart (RFC 9114 section 7.2.4.1).
func reservedSetting(id uint64) bool { return 0x02 <= id && id <= 0x05 }

// settings is what the peer has told of itself.
type settings struct {
	maxFieldSection uint64 // bytes; 0: it did not say
	connect         bool
	datagram        bool
}

// parse reads the payload of a SETTINGS frame.
func (s *settings) parse(b []byte) *Error {
	var ids [settingsKept]uint64
	seen := 0
	for len(b) > 0 {
		id, n := readVarint(b)
		v, m := readVarint(b[n:])
		if n == 0 || m == 0 {
			return errFrameSize
		}
		b = b[n+m:]
		if reservedSetting(id) {
			return errSettingReserved
		}
		for _, x := range ids[:seen] {
			if x == id {
				return errSettingRepeated
			}
		}
		if seen < len(ids) {
			ids[seen] = id
			seen++
		}
		switch id {
		case settingMaxFieldSection:
			s.maxFieldSection = v
		case settingEnableConnect, settingDatagram:
			if v > 1 {
				return errSettingValue
			}
			if id == settingEnableConnect {
				s.connect = v == 1
			} else {
				s.datagram = v == 1
			}
		}
	}
	return nil
}

// appendSettings appends the beginning of our control stream: its type and SETTINGS. A capacity of zero is the default and
// is not sent.
func appendSettings(dst []byte, maxFieldSection int) []byte {
	var p []byte
	p = appendVarint(appendVarint(p, settingMaxFieldSection), uint64(maxFieldSection))
	p = appendVarint(appendVarint(p, settingEnableConnect), 1)
	dst = appendVarint(dst, streamControl)
	dst = appendVarint(appendVarint(dst, frameSettings), uint64(len(p)))
	return append(dst, p...)
}

// appendGoAway appends a GOAWAY: requests on streams from id on will not be looked at.
func appendGoAway(dst []byte, id uint64) []byte {
	dst = appendVarint(dst, frameGoAway)
	dst = appendVarint(dst, uint64(varintBytes(id)))
	return appendVarint(dst, id)
}

func varintBytes(v uint64) int {
	var b [varintBytesMax]byte
	return len(appendVarint(b[:0], v))
}

// controlParser takes the client's control stream apart.
type controlParser struct {
	gather   gather
	settled  bool // SETTINGS has come
	inFrame  bool
	skip     bool
	kind     uint64
	left     uint64
	payload  []byte
	settings settings

	pushID    uint64 // of MAX_PUSH_ID, + 1
	goAway    uint64 // the last identifier, + 1
	frames    int    // so far
	onUpdated func(stream int64, p Priority) *Error
}

// feed takes the next bytes of the stream. requests is how many requests the client has sent so far.
func (p *controlParser) feed(b []byte, requests int64) *Error {
	for len(b) > 0 || p.inFrame && p.left == 0 {
		if !p.inFrame {
			used, err := p.begin(b, requests)
			b = b[used:]
			if err != nil {
				return err
			}
			if !p.inFrame {
				return nil
			}
		}
		n := int(min(uint64(len(b)), p.left))
		if !p.skip {
			p.payload = append(p.payload, b[:n]...)
		}
		b = b[n:]
		p.left -= uint64(n)
		if p.left > 0 {
			return nil
		}
		p.inFrame = false
		if err := p.frame(); err != nil {
			return err
		}
	}
	return nil
}

// begin reads a frame's header and judges whether the frame may stand here.
func (p *controlParser) begin(b []byte, requests int64) (used int, err *Error) {
	t, length, used, ok := p.gather.header(b)
	if !ok {
		return used, nil
	}
	p.kind, p.left, p.inFrame, p.skip = t, length, true, false
	p.payload = p.payload[:0]
	if p.frames++; int64(p.frames) > controlFramesFree+controlFramesPerRequest*requests {
		return used, errControl
	}
	if !p.settled && t != frameSettings {
		return used, errNoSettings // RFC 9114 section 6.2.1
	}
	most := uint64(controlFrameBytesMax)
	switch t {
	case frameSettings:
		if p.settled {
			return used, errSettingsTwice
		}
		most = settingsBytesMax
	case frameGoAway, frameMaxPushID, frameCancelPush:
		most = varintBytesMax
	case framePriorityUpdate, framePriorityPush:
		most = varintBytesMax + priorityUpdateBytesMax
	case frameData, frameHeaders, framePushPromise:
		return used, errFrameOnStream
	default:
		if reservedFrame(t) {
			return used, errFrameReserved
		}
		p.skip, most = true, hugeFactor*controlFrameBytesMax
	}
	if length > most {
		if most == varintBytesMax {
			return used, errFrameSize
		}
		return used, errFrameHuge
	}
	return used, nil
}

// frame acts on a complete frame.
func (p *controlParser) frame() *Error {
	switch p.kind {
	case frameSettings:
		p.settled = true
		return p.settings.parse(p.payload)
	case framePriorityUpdate:
		return p.priorityUpdate()
	case framePriorityPush:
		return errPriorityID // nothing is pushed
	case frameGoAway, frameMaxPushID, frameCancelPush:
		v, n := readVarint(p.payload)
		if n == 0 || n != len(p.payload) {
			return errFrameSize
		}
		return p.number(v)
	}
	return nil
}

// number acts on the frames whose payload is one integer.
func (p *controlParser) number(v uint64) *Error {
	switch p.kind {
	case frameGoAway: // a client's says which pushes it takes; there are none (RFC 9114 section 5.2)
		if p.goAway != 0 && v+1 > p.goAway {
			return errGoAwayRaised
		}
		p.goAway = v + 1
	case frameMaxPushID:
		if v+1 < p.pushID {
			return errPushID
		}
		p.pushID = v + 1
	case frameCancelPush:
		return errPushID // RFC 9114 section 7.2.3: no push was promised
	}
	return nil
}

// priorityUpdate: RFC 9218 section 7.2. The rest of the payload is a Priority field value.
func (p *controlParser) priorityUpdate() *Error {
	id, n := readVarint(p.payload)
	if n == 0 {
		return errFrameSize
	}
	if id&3 != 0 { // not a stream that a client opens for a request
		return errPriorityID
	}
	return p.onUpdated(int64(id), msg.PriorityDefault.Read(p.payload[n:]))
}

// decoderParser takes the client's QPACK decoder stream apart (RFC 9204 section 4.4). We reference no dynamic table, so
// the only thing it can tell us is that it has given a stream up, which the stream itself tells too.
type decoderParser struct {
	inside bool // an instruction's integer goes on
	size   int  // its bytes so far
	count  int
}

func (p *decoderParser) feed(b []byte, requests int64) *Error {
	for _, c := range b {
		if !p.inside {
			if c&0xc0 != 0x40 { // section acknowledgement, insert count increment
				return errDecoder
			}
			p.inside, p.size = c&0x3f == 0x3f, 0
			if p.count++; int64(p.count) > controlFramesFree+controlFramesPerRequest*requests {
				return errControl
			}
			continue
		}
		if p.size++; p.size > 9 { // RFC 9204 section 4.1.1: integers up to 62 bits
			return errDecoder
		}
		p.inside = c&0x80 != 0
	}
	return nil
}

// encoderParser takes the client's QPACK encoder stream apart (RFC 9204 section 4.3). With a capacity of zero the one
// instruction that is no error is to set it to zero.
type encoderParser struct{}

func (encoderParser) feed(b []byte, _ int64) *Error {
	for _, c := range b {
		if c != 0x20 {
			return errEncoder
		}
	}
	return nil
}
