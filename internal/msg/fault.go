package msg

// Fault is what is wrong with a message. Zero is no fault.
//
// A fault is the same whoever made it; whose message it was decides the answer: a client's own mistake is a 4xx or 501
// to that client, a server's mistake is a 502 to a client that cannot help it.
type Fault uint8

// The faults. Each one's text and statuses are in faultTable.
const (
	FaultRequestLine Fault = iota + 1
	FaultMethod
	FaultMethodSize
	FaultTarget
	FaultTargetSize
	FaultVersion
	FaultStatusLine
	FaultStatus
	FaultLineEnd
	FaultFold
	FaultColon
	FaultSpaceColon
	FaultFieldName
	FaultFieldValue
	FaultFieldCount
	FaultHeadSize
	FaultHostMissing
	FaultHostTwice
	FaultHost
	FaultHostDiffers
	FaultLength
	FaultLengthTwice
	FaultLengthCoding
	FaultCoding
	FaultCodingUnknown
	FaultCodingHTTP10
	FaultChunkSize
	FaultChunkExtension
	FaultChunkEnd
	FaultHopField
	FaultConnection
	FaultExpect
	FaultMaxForwards
	FaultOptionsEnd
	FaultTraceEnd
	FaultTraceBody
	FaultConnect
	FaultProtocol
	FaultSwitch
	FaultInterim
	FaultUnsolicited
	FaultTruncated
	FaultPseudoUnknown
	FaultPseudoOrder
	FaultPseudoTwice
	FaultPseudoMissing
	FaultPseudoSurplus
	FaultPseudoTrailers
	FaultScheme
	FaultLengthDiffers
	faultCount
)

// Error is a refusal: what to answer, which word to log, and what exactly was wrong. Errors are static; compare them by
// address or by Fault. Nobody may change one.
type Error struct {
	Status uint16 // of the answer to the client
	Fault  Fault
	Reason string // the word of Proxy-Status, access log and metrics
	Detail string // one plain line for a human
}

// Error makes an Error fit for the error interface in tests and the control plane; the data path passes *Error itself,
// because a nil *Error inside an error interface is not nil.
func (e *Error) Error() string { return e.Reason + ": " + e.Detail }

type faultText struct {
	status uint16 // when a client is to blame; 400 when zero
	reason string // when a client is to blame; "bad-request" when empty
	detail string
}

var faultTable = [faultCount]faultText{
	FaultRequestLine:    {detail: "malformed request line"},
	FaultMethod:         {detail: "the method is not a token"},
	FaultMethodSize:     {status: 501, reason: "unknown-method", detail: "method longer than any that is known"},
	FaultTarget:         {detail: "malformed request target"},
	FaultTargetSize:     {status: 414, reason: "uri-too-long", detail: "request line too long"},
	FaultVersion:        {detail: "unsupported protocol version"},
	FaultStatusLine:     {detail: "malformed status line"},
	FaultStatus:         {detail: "status code out of range"},
	FaultLineEnd:        {detail: "bare CR or LF"},
	FaultFold:           {detail: "line starts with white space"},
	FaultColon:          {detail: "field line without a colon"},
	FaultSpaceColon:     {detail: "white space before the colon"},
	FaultFieldName:      {detail: "malformed field name"},
	FaultFieldValue:     {detail: "malformed field value"},
	FaultFieldCount:     {status: 431, reason: "head-too-large", detail: "too many fields"},
	FaultHeadSize:       {status: 431, reason: "head-too-large", detail: "head too large"},
	FaultHostMissing:    {detail: "no Host"},
	FaultHostTwice:      {detail: "more than one Host"},
	FaultHost:           {detail: "malformed host"},
	FaultHostDiffers:    {detail: "Host differs from the target's authority"},
	FaultLength:         {detail: "malformed Content-Length"},
	FaultLengthTwice:    {detail: "more than one Content-Length"},
	FaultLengthCoding:   {detail: "both Content-Length and Transfer-Encoding"},
	FaultCoding:         {detail: "Transfer-Encoding is not chunked"},
	FaultCodingUnknown:  {status: 501, reason: "unknown-coding", detail: "unknown transfer coding"},
	FaultCodingHTTP10:   {detail: "Transfer-Encoding in HTTP/1.0"},
	FaultChunkSize:      {detail: "malformed chunk size"},
	FaultChunkExtension: {detail: "malformed or excessive chunk extension"},
	FaultChunkEnd:       {detail: "chunk data not followed by CRLF"},
	FaultHopField:       {detail: "connection-specific field"},
	FaultConnection:     {detail: "malformed or excessive Connection"},
	FaultExpect:         {status: 417, reason: "expectation-failed", detail: "unknown expectation"},
	FaultMaxForwards:    {detail: "malformed Max-Forwards"},
	FaultOptionsEnd:     {status: 200, reason: "max-forwards", detail: "this is the last recipient"},
	FaultTraceEnd:       {status: 501, reason: "max-forwards", detail: "this is the last recipient, and it does not trace"},
	FaultTraceBody:      {detail: "TRACE with a body"},
	FaultConnect:        {status: 501, reason: "unknown-method", detail: "CONNECT is for forward proxies"},
	FaultProtocol:       {status: 501, reason: "unknown-protocol", detail: "unknown :protocol"},
	FaultSwitch:         {detail: "101 to a switch that nobody asked for"},
	FaultInterim:        {detail: "interim response with a body"},
	FaultUnsolicited:    {detail: "response without a request"},
	FaultTruncated:      {reason: "client-closed", detail: "connection closed inside a message"},
	FaultPseudoUnknown:  {detail: "unknown pseudo-header field"},
	FaultPseudoOrder:    {detail: "pseudo-header field behind a regular one"},
	FaultPseudoTwice:    {detail: "pseudo-header field given twice"},
	FaultPseudoMissing:  {detail: "pseudo-header field missing"},
	FaultPseudoSurplus:  {detail: "pseudo-header field that does not go with the method"},
	FaultPseudoTrailers: {detail: "pseudo-header field in trailers"},
	FaultScheme:         {detail: "malformed or foreign :scheme"},
	FaultLengthDiffers:  {detail: "Content-Length differs from the content"},
}

var requestErrors, responseErrors [faultCount]Error

func init() {
	for f := range faultTable {
		t := faultTable[f]
		if t.status == 0 {
			t.status = 400
		}
		if t.reason == "" {
			t.reason = "bad-request"
		}
		requestErrors[f] = Error{Status: t.status, Fault: Fault(f), Reason: t.reason, Detail: t.detail}
		responseErrors[f] = Error{Status: 502, Fault: Fault(f), Reason: "bad-response", Detail: t.detail}
	}
	responseErrors[FaultTruncated].Reason = "server-closed"
}

// ForFaults makes of each fault what a protocol says about it. There is none for no fault: the first one is zero.
func ForFaults[T any](say func(detail string) T) (all [faultCount]T) {
	for f := Fault(1); f < faultCount; f++ {
		all[f] = say(faultTable[f].detail)
	}
	return all
}

// InRequest is the error for a fault in a client's message; nil for no fault.
func (f Fault) InRequest() *Error {
	if f == 0 {
		return nil
	}
	return &requestErrors[f]
}

// InResponse is the error for a fault in a server's message; nil for no fault.
func (f Fault) InResponse() *Error {
	if f == 0 {
		return nil
	}
	return &responseErrors[f]
}
