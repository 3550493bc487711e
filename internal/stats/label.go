package stats

// The types of this file index arrays of cells. Their words are the label values of the metrics, the keys of JSON and the
// words of the access log, exactly as the operator's manual has them.

// Protocol is the HTTP version that a client connection speaks.
type Protocol uint8

// The protocols. A client connection counts as h1 until ALPN or its preface says otherwise.
const (
	H1 Protocol = iota
	H2
	H3
	Protocols // how many there are
)

var protocolWords = [Protocols]string{"h1", "h2", "h3"}

// String is the label value.
func (p Protocol) String() string { return protocolWords[p] }

// Class is the first digit of a final status code.
type Class uint8

// The classes. ClassNone: the exchange ended before a status was sent (the client left).
const (
	ClassNone Class = iota
	Class1xx        // 101 only: the exchange became a tunnel
	Class2xx
	Class3xx
	Class4xx
	Class5xx
	Classes // how many there are
)

var classWords = [Classes]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// String is the label value.
func (c Class) String() string { return classWords[c] }

// ClassOf is the class of a status code; ClassNone for 0 and for what is no status code.
func ClassOf(status int) Class {
	if status < 100 || status > 599 {
		return ClassNone
	}
	return Class(status / 100)
}

// Why says why a server connection was opened.
type Why uint8

// The reasons to open a server connection.
const (
	WhyDemand  Why = iota // an exchange needs it
	WhyWarm               // pool-warm-conn
	WhyRetry              // an exchange needs it after a failure
	WhyPrivate            // a session needs one that nobody else may use
	Whys                  // how many there are
)

var whyWords = [Whys]string{"demand", "warm", "retry", "private"}

// String is the label value.
func (w Why) String() string { return whyWords[w] }

// Cause says why a server connection was closed. Each close has exactly one.
type Cause uint8

// The causes, in the order of the manual.
const (
	CauseIdlePurge Cause = iota
	CausePoolMax
	CauseMaxReuse
	CauseMaxAge
	CauseServerHint
	CausePeerClosed
	CausePeerReset
	CauseGoaway
	CauseProtocolError
	CauseTimeout
	CausePingFailed
	CauseStaleOnUse
	CauseDrain
	CauseSessionEnd
	CauseEvicted
	Causes // how many there are
)

var causeWords = [Causes]string{
	"idle-purge", "pool-max", "max-reuse", "max-age", "server-hint", "peer-closed", "peer-reset", "goaway",
	"protocol-error", "timeout", "ping-failed", "stale-on-use", "drain", "session-end", "evicted",
}

// String is the label value.
func (c Cause) String() string { return causeWords[c] }

// QueueReason says how a wait in a backend's queue ended without a turn.
type QueueReason uint8

// The ways a waiter leaves a queue unserved.
const (
	QueueFull       QueueReason = iota // queue-depth was reached: it never got in
	QueueTimeout                       // queue-timeout passed
	QueueClientLeft                    // the client gave its place up
	QueueDraining                      // the process or the backend is going away
	QueueReasons                       // how many there are
)

var queueWords = [QueueReasons]string{"queue-full", "queue-timeout", "client-closed", "draining"}

// String is the label value.
func (r QueueReason) String() string { return queueWords[r] }

// Outcome says how a retry ended.
type Outcome uint8

// The outcomes of a retry, counted when it is known.
const (
	OutcomeSuccess Outcome = iota // the retried attempt brought a response
	OutcomeFailure                // it failed too
	OutcomeRefused                // not retried: the method, the body or max-retries forbade it
	Outcomes                      // how many there are
)

var outcomeWords = [Outcomes]string{"success", "failure", "refused"}

// String is the label value.
func (o Outcome) String() string { return outcomeWords[o] }

// ErrorKind sorts the failures of a server.
type ErrorKind uint8

// The failures that are counted per server.
const (
	ErrorConnect  ErrorKind = iota // the connection did not come to be (TCP or TLS)
	ErrorResponse                  // the response was bad, cut short or did not come
	ErrorCheck                     // a health check failed
	ErrorKinds                     // how many there are
)

var errorWords = [ErrorKinds]string{"connect", "response", "check"}

// String is the label value.
func (k ErrorKind) String() string { return errorWords[k] }

// ServerState is what a server may be given. When workers differ, the larger value is shown for all of them.
type ServerState uint8

// The states, from the most useful to the least.
const (
	StateReady     ServerState = iota
	StateSlowStart             // back from down, its share still grows
	StateBackoff               // max-errors was reached; connects wait
	StateDrain                 // persisted sessions only
	StateDown                  // health checks failed
	StateMaint                 // nothing
	StateGone                  // no longer in the configuration; what is left finishes
	ServerStates               // how many there are
)

var stateWords = [ServerStates]string{"ready", "slow-start", "backoff", "drain", "down", "maint", "gone"}

// String is the word in tables.
func (s ServerState) String() string { return stateWords[s] }

// Reason is an index into the caller's list of reasons why weir answered by itself or tried again. The words are the
// engine's; stats only counts them, so that one file of the engine stays the only place that knows them all.
type Reason uint8

// Reasons bounds the caller's list.
const Reasons = 64
