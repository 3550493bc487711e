package h3

import (
	"errors"

	"github.com/quic-go/quic-go"

	"weir/internal/msg"
)

// Code is an error code of HTTP/3 (RFC 9114 section 8.1) or QPACK (RFC 9204 section 6), as it goes over the wire.
type Code uint64

// The codes.
const (
	NoError              Code = 0x100
	ProtocolError        Code = 0x101
	InternalError        Code = 0x102
	StreamCreationError  Code = 0x103
	ClosedCriticalStream Code = 0x104
	FrameUnexpected      Code = 0x105
	FrameError           Code = 0x106
	ExcessiveLoad        Code = 0x107
	IDError              Code = 0x108
	SettingsError        Code = 0x109
	MissingSettings      Code = 0x10a
	RequestRejected      Code = 0x10b
	RequestCancelled     Code = 0x10c
	RequestIncomplete    Code = 0x10d
	MessageError         Code = 0x10e
	ConnectError         Code = 0x10f
	DecompressionFailed  Code = 0x200
	EncoderStreamError   Code = 0x201
	DecoderStreamError   Code = 0x202
)

// Error is the peer's mistake: what it gets to see, how much ends because of it, and one plain line for a human. Errors
// are static; compare them by address.
type Error struct {
	Code   Code
	Conn   bool // ends the connection; otherwise the stream alone
	Detail string
}

// Error is for tests and logs.
func (e *Error) Error() string { return "h3: " + e.Detail }

func connError(c Code, detail string) *Error   { return &Error{Code: c, Conn: true, Detail: detail} }
func streamError(c Code, detail string) *Error { return &Error{Code: c, Detail: detail} }

// What ends a connection.
var (
	errFrameFirst     = connError(FrameUnexpected, "the request does not begin with HEADERS")
	errFrameOrder     = connError(FrameUnexpected, "frame after the trailers, or out of order")
	errFrameReserved  = connError(FrameUnexpected, "frame type of HTTP/2")
	errFrameOnStream  = connError(FrameUnexpected, "frame that does not belong on this stream")
	errFrameTruncated = connError(FrameError, "the stream ended inside a frame")
	errFrameSize      = connError(FrameError, "frame whose payload does not fit its length")
	errFrameHuge      = connError(ExcessiveLoad, "frame larger than any that is taken")
	errFrameHollow    = connError(ExcessiveLoad, "too many frames with nothing in them")

	errNoSettings      = connError(MissingSettings, "the control stream does not begin with SETTINGS")
	errSettingsTwice   = connError(FrameUnexpected, "second SETTINGS")
	errSettingRepeated = connError(SettingsError, "setting given twice")
	errSettingReserved = connError(SettingsError, "setting of HTTP/2")
	errSettingValue    = connError(SettingsError, "setting with a value that it cannot have")

	errStreamTwice    = connError(StreamCreationError, "second control or QPACK stream")
	errStreamPush     = connError(StreamCreationError, "push stream from a client")
	errCriticalClosed = connError(ClosedCriticalStream, "control or QPACK stream closed")

	errGoAwayRaised = connError(IDError, "GOAWAY raised its identifier")
	errPushID       = connError(IDError, "push identifier that was never given out, or MAX_PUSH_ID lowered")
	errPriorityID   = connError(IDError, "PRIORITY_UPDATE for something that is no request")

	errBlock   = connError(DecompressionFailed, "malformed field section")
	errEncoder = connError(EncoderStreamError, "instruction for a dynamic table that there is not")
	errDecoder = connError(DecoderStreamError, "acknowledgement of nothing that was sent")

	errResets  = connError(ExcessiveLoad, "too many requests taken back")
	errMadeUs  = connError(ExcessiveLoad, "too many malformed requests")
	errControl = connError(ExcessiveLoad, "too many control frames")
)

// Why a request is passed on with a Fault.
var (
	ErrHeadTooLarge = streamError(MessageError, "head larger than what is taken")
	ErrHeadTimeout  = streamError(RequestIncomplete, "the head did not come in time")
)

// What ends a stream.
var (
	errRequestCut = streamError(RequestIncomplete, "the stream ended before the request's head did")
	errBodyShort  = streamError(MessageError, "less content than content-length says")
	errBodyLong   = streamError(MessageError, "more content than content-length says")

	errTrailersLarge = streamError(ExcessiveLoad, "trailers too large")
)

// malformed is what ends the stream of a message with a fault (RFC 9114 section 4.1.2); nil for no fault.
var malformed = msg.ForFaults(func(detail string) *Error { return streamError(MessageError, detail) })

// resetCode is the code with which the peer has ended a stream, if it has.
func resetCode(err error) (Code, bool) {
	var s *quic.StreamError
	if errors.As(err, &s) && s.Remote {
		return Code(s.ErrorCode), true
	}
	return 0, false
}
