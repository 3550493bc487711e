package h2

import (
	"weir/internal/mono"
	"weir/internal/msg"
)

type Kind uint8

const (
	None Kind = iota
	Head
	Trailers
	Data
	Reset
	Window
	GoAway
	Settings
	Pong
)

type ErrCode uint32

const (
	NoError       ErrCode = 0
	InternalError ErrCode = 2
	RefusedStream ErrCode = 7
	Cancel        ErrCode = 8
)

type Event struct {
	Kind       Kind
	Stream     *Stream
	Data       []byte
	End        bool
	Code       ErrCode
	LastStream uint32
}
type Stream struct {
	ID   uint32
	User any
}
type Config struct{}
type Error struct{}
type Conn struct{}

func New(c *Config) *Conn                            { return &Conn{} }
func (c *Conn) AppendPreface(dst []byte) []byte      { return dst }
func (c *Conn) Recv(b []byte, h *msg.Head, now mono.Time) (ev Event, n int, err *Error) { return }
func (c *Conn) Open(user any) (*Stream, bool)        { return nil, false }
func (c *Conn) AppendHead(dst []byte, s *Stream, h *msg.Head, end bool) []byte { return dst }
func (c *Conn) AppendData(dst []byte, s *Stream, p []byte, end bool) ([]byte, int) { return dst, 0 }
func (c *Conn) AppendTrailers(dst []byte, s *Stream, h *msg.Head) []byte { return dst }
func (c *Conn) AppendReset(dst []byte, s *Stream, code ErrCode) []byte   { return dst }
func (c *Conn) AppendGoAway(dst []byte, code ErrCode) []byte             { return dst }
func (c *Conn) SendRoom(s *Stream) int               { return 0 }
func (c *Conn) Consumed(s *Stream, n int)            {}
func (c *Conn) AppendPending(dst []byte) []byte      { return dst }
func (c *Conn) Pending() bool                        { return false }
func (c *Conn) Deadline() mono.Time                  { return 0 }
func (c *Conn) Expire(now mono.Time) *Error          { return nil }
func (c *Conn) Walk(f func(*Stream))                 {}
func (c *Conn) FreeStreams() int                     { return 0 }
func (c *Conn) Draining() bool                       { return false }
