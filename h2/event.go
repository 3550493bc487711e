package h2

// Kind is what an Event tells.
type Kind uint8

// The kinds of events.
const (
	EventNone     Kind = iota // nothing: more bytes are needed
	EventHead                 // the head of a request, or of an interim or final response, is in the Head given to Recv
	EventTrailers             // a trailer section is in the Head given to Recv; the message ends with it
	EventData                 // bytes of a body; they are held until Consumed
	EventReset                // the stream is over: by the peer (Cause is nil) or by us for an error of the peer's
	EventRefused              // a request that never became a stream of the caller's was reset: Cause says why
	EventWindow               // NextWritable has something to return that it had not
	EventSettings             // the peer's SETTINGS have changed: look at NextWritable, FreeStreams, PeerConnect
	EventGoAway               // the peer takes no new streams; it has not acted on those above ID
	EventPong                 // the answer to a PING, whose eight bytes are in Data
)

// Event is what Recv has to tell. Data aliases the bytes given to Recv and is valid until they change.
type Event struct {
	Kind     Kind
	End      bool // EventHead, EventData: the peer's message ends with it
	TooLarge bool // EventHead of a request: fields beyond the limit were left out; 431 is the answer to give
	Code     ErrCode
	ID       uint32 // EventGoAway: the last stream acted on; EventRefused: the stream
	Stream   *Stream
	Data     []byte
	Cause    *Error
}
