package h3

// reqEvent is what a reqParser has found.
type reqEvent uint8

const (
	reqNone     reqEvent = iota // all bytes are used and nothing is complete
	reqHead                     // the block of the head is complete
	reqHeadHuge                 // the head is larger than what is taken; its block was skipped
	reqData                     // a piece of content
	reqTrailers                 // the block of the trailers is complete
)

// reqStage is how far the request on a stream has come (RFC 9114 section 4.1).
//
//	HEADERS ──► head ──► DATA … ──► content ──► HEADERS ──► trailers ──► end
type reqStage uint8

const (
	stageHead     reqStage = iota // exactly when the head's block is not complete
	stageContent                  // exactly when DATA or trailers may follow
	stageTrailers                 // exactly when nothing but unknown frames may follow
)

// hollowMax bounds the frames of a request that carry nothing: unknown ones, and DATA without data. Clients grease with one
// or two; each costs us work and its sender two bytes.
const hollowMax = 128

// hugeFactor is how many times larger than the largest block a frame may be that is skipped rather than read. What is
// larger was not sent in good faith.
const hugeFactor = 16

// reqParser takes the bytes of a request stream apart. It holds nothing but a field block that is not complete, which
// blockMax bounds.
type reqParser struct {
	gather   gather
	stage    reqStage
	inFrame  bool
	skip     bool   // the frame's payload is of no interest
	kind     uint64 // of the frame that left belongs to
	left     uint64 // of its payload
	hollow   int
	tunnel   bool // the request was a CONNECT: nothing but DATA may follow (RFC 9114 section 4.4)
	blockMax int
	block    []byte // of the head or trailers being gathered
}

// next reports the first event in b, and how many bytes of b it has used. piece is the block, or the content; it aliases b
// or the parser's own memory and is valid until the next call.
func (p *reqParser) next(b []byte) (ev reqEvent, piece []byte, n int, err *Error) {
	for {
		if !p.inFrame {
			used, ok, err := p.begin(b[n:])
			n += used
			if err != nil || !ok {
				return reqNone, nil, n, err
			}
		}
		take := int(min(uint64(len(b)-n), p.left))
		piece = b[n : n+take]
		n += take
		p.left -= uint64(take)
		p.inFrame = p.left > 0
		switch {
		case p.skip:
			if p.inFrame {
				return reqNone, nil, n, nil
			}
			if p.kind == frameHeaders {
				p.skip = false
				return p.skipped(n)
			}
		case p.kind == frameData:
			if take > 0 {
				return reqData, piece, n, nil
			}
		default:
			if ev, piece := p.onBlock(piece); ev != reqNone {
				return ev, piece, n, nil
			}
		}
		if n == len(b) {
			return reqNone, nil, n, nil
		}
	}
}

// begin reads a frame's header and judges whether the frame may stand here.
func (p *reqParser) begin(b []byte) (used int, ok bool, err *Error) {
	t, length, used, ok := p.gather.header(b)
	if !ok {
		return used, false, nil
	}
	p.kind, p.left, p.inFrame, p.skip = t, length, true, false
	switch t {
	case frameData:
		if p.stage == stageHead {
			return used, false, errFrameFirst
		}
		if p.stage != stageContent {
			return used, false, errFrameOrder
		}
		if length == 0 {
			return used, true, p.onHollow()
		}
	case frameHeaders:
		if p.stage == stageTrailers || p.tunnel {
			return used, false, errFrameOrder
		}
		if length > hugeFactor*uint64(p.blockMax) {
			return used, false, errFrameHuge
		}
		p.skip = length > uint64(p.blockMax)
		p.block = p.block[:0]
	case frameCancelPush, frameSettings, frameGoAway, frameMaxPushID, framePushPromise, framePriorityUpdate, framePriorityPush:
		return used, false, errFrameOnStream
	default:
		if reservedFrame(t) {
			return used, false, errFrameReserved
		}
		if length > hugeFactor*uint64(p.blockMax) {
			return used, false, errFrameHuge
		}
		p.skip = true // RFC 9114 section 9: unknown frames are ignored wherever they stand
		return used, true, p.onHollow()
	}
	return used, true, nil
}

func (p *reqParser) onHollow() *Error {
	if p.hollow++; p.hollow > hollowMax {
		return errFrameHollow
	}
	return nil
}

// onBlock takes a piece of a field block and returns the block once it is whole. One that came in a piece is not copied.
func (p *reqParser) onBlock(piece []byte) (reqEvent, []byte) {
	if p.inFrame || len(p.block) > 0 {
		p.block = append(p.block, piece...)
		if p.inFrame {
			return reqNone, nil
		}
		piece = p.block
	}
	if p.stage == stageHead {
		p.stage = stageContent
		return reqHead, piece
	}
	p.stage = stageTrailers
	return reqTrailers, piece
}

// skipped is called when a block that is too large has gone by.
func (p *reqParser) skipped(n int) (reqEvent, []byte, int, *Error) {
	if p.stage == stageHead {
		p.stage = stageContent
		return reqHeadHuge, nil, n, nil
	}
	return reqNone, nil, n, errTrailersLarge
}

// end judges the end of a stream whose head was complete.
func (p *reqParser) end() *Error {
	if p.inFrame || p.gather.n > 0 {
		return errFrameTruncated // RFC 9114 section 7.1
	}
	return nil
}

// cut judges the end of a stream whose head was not complete; it is never right.
func (p *reqParser) cut() *Error {
	if err := p.end(); err != nil {
		return err
	}
	return errRequestCut
}
