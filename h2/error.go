package h2

import "weir/internal/msg"

// ErrCode is an error code of RFC 9113 section 7.
type ErrCode uint32

// The error codes.
const (
	NoError            ErrCode = 0x0
	ProtocolError      ErrCode = 0x1
	InternalError      ErrCode = 0x2
	FlowControlError   ErrCode = 0x3
	SettingsTimeout    ErrCode = 0x4
	StreamClosed       ErrCode = 0x5
	FrameSizeError     ErrCode = 0x6
	RefusedStream      ErrCode = 0x7
	Cancel             ErrCode = 0x8
	CompressionError   ErrCode = 0x9
	ConnectError       ErrCode = 0xa
	EnhanceYourCalm    ErrCode = 0xb
	InadequateSecurity ErrCode = 0xc
	HTTP11Required     ErrCode = 0xd
)

var errCodeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
	"STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
	"ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String is the name in RFC 9113; an unknown code has none and means INTERNAL_ERROR (section 7).
func (c ErrCode) String() string {
	if int(c) < len(errCodeNames) {
		return errCodeNames[c]
	}
	return "unknown"
}

// Scope is what an Error ends.
type Scope uint8

// The scopes.
const (
	ScopeConn Scope = iota + 1
	ScopeStream
)

// Error is what a peer did wrong. Errors are static: compare them by address or by Code. The peer is always to blame.
type Error struct {
	Code   ErrCode
	Scope  Scope
	Reason string // one line for a human
}

// Error makes an Error fit for the error interface in tests and the control plane; the data path passes *Error itself,
// because a nil *Error inside an error interface is not nil.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

func connError(code ErrCode, reason string) *Error { return &Error{code, ScopeConn, reason} }

func streamError(code ErrCode, reason string) *Error { return &Error{code, ScopeStream, reason} }

// What ends a connection (RFC 9113 section 5.4.1).
var (
	errPreface         = connError(ProtocolError, "not the connection preface")
	errFirstFrame      = connError(ProtocolError, "first frame is not SETTINGS")
	errFrameSize       = connError(FrameSizeError, "frame larger than SETTINGS_MAX_FRAME_SIZE")
	errPayloadSize     = connError(FrameSizeError, "payload of the wrong size")
	errStreamZero      = connError(ProtocolError, "frame must have a stream")
	errStreamNotZero   = connError(ProtocolError, "frame must not have a stream")
	errStreamParity    = connError(ProtocolError, "stream identifier that is not the peer's to use")
	errStreamOrder     = connError(ProtocolError, "stream identifier below an earlier one")
	errStreamIdle      = connError(ProtocolError, "frame on an idle stream")
	errStreamEnded     = connError(StreamClosed, "frame on a stream that the peer has closed")
	errPadding         = connError(ProtocolError, "padding larger than the frame")
	errBlockOpen       = connError(ProtocolError, "frame inside a field block")
	errBlockNone       = connError(ProtocolError, "CONTINUATION outside a field block")
	errBlockSize       = connError(EnhanceYourCalm, "field block too large")
	errBlockFrames     = connError(EnhanceYourCalm, "field block in too many frames")
	errListBomb        = connError(EnhanceYourCalm, "field block expands too much")
	errCompression     = connError(CompressionError, "field block cannot be decoded")
	errPush            = connError(ProtocolError, "PUSH_PROMISE")
	errSettingValue    = connError(ProtocolError, "setting out of range")
	errSettingWindow   = connError(FlowControlError, "initial window above 2^31-1")
	errConnWindow      = connError(FlowControlError, "more DATA than the connection's window allows")
	errWindowOverflow  = connError(FlowControlError, "the connection's window above 2^31-1")
	errWindowNothing   = connError(ProtocolError, "WINDOW_UPDATE of zero for the connection")
	errGoAwayRaised    = connError(ProtocolError, "GOAWAY with a higher stream than before")
	errPriorityUpdate  = connError(ProtocolError, "PRIORITY_UPDATE out of place")
	errIdleDependency  = connError(ProtocolError, "idle stream depends on itself")
	errHeadTimeout     = connError(ProtocolError, "frame or field block not finished in time")
	errSettingsTimeout = connError(SettingsTimeout, "SETTINGS not acknowledged in time")
	errClosed          = connError(NoError, "closed")
	errPendingReplies  = connError(EnhanceYourCalm, "replies pile up unread")
)

// What ends a stream (RFC 9113 section 5.4.2).
var (
	errHalfClosed     = streamError(StreamClosed, "frame behind END_STREAM")
	errStreamWindow   = streamError(FlowControlError, "more DATA than the stream's window allows")
	errStreamOverflow = streamError(FlowControlError, "the stream's window above 2^31-1")
	errStreamNothing  = streamError(ProtocolError, "WINDOW_UPDATE of zero")
	errStreamSize     = streamError(FrameSizeError, "PRIORITY of the wrong size")
	errSelfDependency = streamError(ProtocolError, "stream depends on itself")
	errTooManyStreams = streamError(RefusedStream, "more streams than SETTINGS_MAX_CONCURRENT_STREAMS")
	errDraining       = streamError(RefusedStream, "stream behind GOAWAY")
	errDataBeforeHead = streamError(ProtocolError, "DATA before the response's head")
	errTrailersOpen   = streamError(ProtocolError, "trailers without END_STREAM")
	errTunnelTrailers = streamError(ProtocolError, "field section inside a tunnel")
	errListSize       = streamError(EnhanceYourCalm, "field section larger than SETTINGS_MAX_HEADER_LIST_SIZE")
	errLengthDiffers  = streamError(ProtocolError, "content-length differs from the DATA")
)

// malformed is what ends the stream of a message with a fault (RFC 9113 section 8.1.1); nil for no fault.
var malformed = msg.ForFaults(func(detail string) *Error { return streamError(ProtocolError, detail) })
