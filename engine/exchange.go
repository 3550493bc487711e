package engine

import (
	"time"

	"weir/internal/limit"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/netio"
	"weir/pool"
)

// frontStream is the client's half of an exchange: one h1 message pair, one h2 or h3 stream. The exchange calls it; all
// calls are on the worker's thread. Bytes are used before the call returns.
type frontStream interface {
	rspInterim(h *msg.Head)
	rspHead(h *msg.Head, end bool) // end: no body follows
	rspData(p []byte)              // at most rspRoom bytes
	rspEnd(trailers *msg.Head)     // nil: none
	rspRoom() int
	rspCut() // the response cannot be completed: let the client see that it is not whole

	reqResume() // the exchange has room for more of the request
	released()  // the exchange is over; what it owned of the client side is free again
}

// backStream is the server's half of an exchange.
type backStream interface {
	reqHead(h *msg.Head, end bool)
	reqData(p []byte)
	reqEnd(trailers *msg.Head)
	reqRoom() int
	rspResume() // the front has room again
	release(clean bool)
	// release ends the exchange on this side. clean: both messages were whole and the connection may carry another one.
}

// place says where an exchange is on its way.
//
//	            ┌───────────────── retry ─────────────────┐
//	            ▼                                         │
//	new ──► seeking ──► (queued | connecting) ──► attached┴──► ended
//	   └───────┴──────────── answered by weir ──────────────────▲
type place uint8

const (
	placeNew      place = iota // exactly when the head was not routed yet
	placeQueued                // exactly when it waits for a token of a limit
	placeWaiting               // exactly when it waits for a connection
	placeAttached              // exactly when back is set
	placeAnswered              // exactly when weir answers by itself
	placeEnded                 // exactly when the record waits for its next use
)

// reqState is how much of the request was received.
type reqState uint8

const (
	reqFlowing reqState = iota // the head is here, body bytes may follow
	reqWhole                   // all of it is here
	reqStopped                 // the rest is not wanted any more
)

// rspState is how much of the response was passed on.
type rspState uint8

const (
	rspAwaited rspState = iota // nothing but interim responses
	rspFlowing                 // the final head
	rspWhole                   // all of it
)

// exchange is one request and its response, from the head's last byte to the response's last byte.
type exchange struct {
	w     *worker
	s     *session
	front frontStream
	back  backStream // set exactly when place is placeAttached
	token netio.Token
	timer netio.Timer
	place place

	req  request
	rsp  response
	way  way
	time times
	cut  *cause // why it did not end the usual way; nil: it did

	firstRequest bool // of its session
	internal     bool // a health check: not a client's
}

// request is the client's message.
type request struct {
	head      msg.Head
	trailers  msg.Head
	state     reqState
	ended     bool  // the end was passed to the back
	continued bool  // a 100 was passed to the client
	bytes     int64 // of the body, received
	replay    replay
}

// response is the server's message, or weir's own.
type response struct {
	state     rspState
	status    uint16
	ended     bool // the end was passed to the front
	interim   bool // at least one interim response was passed on
	tunnel    bool
	bytes     int64  // of the body, passed to the front
	rest      []byte // of the body of our own answer, not passed to the front yet
	ownAnswer bool
}

// way is how the exchange found its server and connection.
type way struct {
	backend   *backend
	server    *server
	route     *routeCells
	waiter    limit.Waiter // place in a queue
	queue     *queue       // nil: waits in none
	places    *limit.Count // the place in a queue's depth that waiting for a rate takes
	until     mono.Time    // when the exchange has waited long enough in queues
	step      step
	wait      waitTurn    // in server.line
	dialing   bool        // a connection of its own is on the way
	dial      netio.Token // that connection
	tokens    tokens
	retries   int
	avoid     *server // the server that just failed
	fresh     bool    // only a connection that has carried nothing will do
	onlyH1    bool    // the server wants HTTP/1.1 for it
	reused    bool
	retried   *cause // why the attempt under way is a retry; nil: it is the first
	connReqs  uint32
	connAge   time.Duration
	axis      limit.Axis
	limited   bool      // axis says which limit was met
	sticky    bool      // the server was given by persistence
	need      pool.Need // which connections may carry it
	setSticky bool      // the response tells the client its server
}

// times are instants of the worker's clock; zero means it did not happen.
type times struct {
	start    mono.Time // first byte of the head
	head     mono.Time // head complete
	queued   mono.Time // began to wait for a token
	dequeued time.Duration
	seek     mono.Time // began to look for a connection
	attach   mono.Time
	response mono.Time // first byte of the response
	wall     int64     // Unix nanoseconds of start
}

// begin starts an exchange whose head has arrived. x.req.head is filled and vetted.
func (w *worker) begin(s *session, front frontStream, started mono.Time) *exchange {
	x := w.exchanges.take(w)
	x.s, x.front = s, front
	x.place = placeNew
	if started.IsZero() {
		started = w.now
	}
	x.time = times{start: started, head: w.now, wall: w.wall}
	s.requests++
	x.firstRequest = s.requests == 1
	if x.firstRequest && s.gates.met {
		x.limited(s.gates.axis)
	}
	s.fe.cells.InFlight++
	return x
}

// start sends the exchange on its way after begin.
func (x *exchange) start() {
	if x.req.head.Framing == msg.BodyNone {
		x.req.state = reqWhole
	}
	x.route()
}

// awaitsEnd reports whether the request of a stream may not be sent on before its client has ended it. A body that is said
// to be empty may still turn out not to be, and a request whose length lies must not reach a server, to which it would
// already look whole. TRACE has no content (RFC 9110 section 9.3.8), but its stream may end behind its head.
func (x *exchange) awaitsEnd() bool {
	h := &x.req.head
	return h.Framing == msg.BodyLength && h.Length == 0 || h.Framing == msg.BodyStream && h.Method == msg.MethodTrace
}

// startEnded sends a request on that has waited for its end, if it has come, and reports whether it did; held is how much of
// a body came before.
func (x *exchange) startEnded(ended bool, held int) bool {
	h := &x.req.head
	switch {
	case held > 0 && h.Method == msg.MethodTrace:
		x.refuse(causeOf(msg.FaultTraceBody.InRequest()))
		return false
	case !ended:
		return false
	case h.Method == msg.MethodTrace:
		h.Framing = msg.BodyNone
	}
	x.start()
	return true
}

// recycle empties the record and keeps its memory. It is emptied where it lies: copying its two heads to the stack and back
// costs more than the rest. The timer stays linked, see end.
func (x *exchange) recycle() {
	if cap(x.req.head.Buf) > headKeptMax {
		x.req.head.Buf = nil
	}
	x.req.head.Reset()
	x.req.trailers.Reset()
	x.dropReplay()
	x.req.replay.sent, x.req.replay.lost = 0, false
	x.req.state, x.req.ended, x.req.continued, x.req.bytes = reqFlowing, false, false, 0
	x.rsp, x.way, x.time = response{}, way{}, times{}
	x.s, x.front, x.back, x.cut = nil, nil, nil, nil
	x.firstRequest, x.internal = false, false
	x.token = netio.NewToken(x.token.Index(), x.token.Generation()+1)
	x.timer.Token = x.token
}

// headKeptMax is the head memory that a recycled exchange keeps: more than nearly every head needs.
const headKeptMax = 4 << 10

// attach joins the exchange to a server connection and sends what is there of the request.
func (x *exchange) attach(b backStream, c *backConn) {
	x.gotTurn() // also when a connection became free before the token of a new one
	x.leaveQueue()
	x.way.tokens.releaseDial()
	x.place, x.back = placeAttached, b
	x.time.attach = x.w.now
	x.way.reused = c.node.Recycle.Uses() > 1
	x.way.connReqs, x.way.connAge = c.node.Recycle.Uses(), x.w.now.Sub(c.openedAt)
	if x.way.reused {
		x.way.server.cells.Reused++
	}
	if !x.internal {
		x.way.server.cells.Requests++
	}
	x.way.server.cells.InFlight++
	whole := x.req.state == reqWhole && x.req.head.Framing == msg.BodyNone
	b.reqHead(&x.req.head, whole)
	x.req.ended = whole
	if x.back == nil { // it failed at once
		return
	}
	x.onReqRoom()
}

// reqRoom is how many bytes of the request's body may come now. What frames them is not counted beforehand, so that a side
// may hold a little more than its bound; it has no room then.
func (x *exchange) reqRoom() int {
	if x.place != placeAttached || x.req.replay.sent < x.req.replay.held.Len() {
		return 0
	}
	return max(x.back.reqRoom(), 0)
}

// onReqData is called by the front with at most reqRoom bytes.
func (x *exchange) onReqData(p []byte) {
	x.req.bytes += int64(len(p))
	if x.req.state != reqFlowing || x.place != placeAttached {
		return
	}
	x.req.replay.record(x, p)
	x.back.reqData(p)
	x.watch()
}

// onReqEnd is called by the front when the request is whole. trailers may be nil.
func (x *exchange) onReqEnd(trailers *msg.Head) {
	if x.req.state != reqFlowing {
		return
	}
	x.req.state = reqWhole
	if t := keptTrailers(trailers); t != nil {
		x.req.trailers.CopyFrom(t)
	}
	if x.place == placeAttached {
		x.endRequest()
		x.watch()
		x.settleTunnel()
	}
}

// endRequest passes the request's end on, once all of the body has been.
func (x *exchange) endRequest() {
	if x.req.ended || !x.req.replay.pump(x.back) {
		return
	}
	x.req.ended = true
	var t *msg.Head
	if len(x.req.trailers.Fields) > 0 {
		t = &x.req.trailers
	}
	x.back.reqEnd(t)
}

// onReqRoom is called by the back when it can take more of the request.
func (x *exchange) onReqRoom() {
	if x.place != placeAttached || !x.req.replay.pump(x.back) {
		x.watch()
		return
	}
	if x.req.state == reqWhole {
		x.endRequest()
	}
	x.watch()
	if x.req.state == reqFlowing {
		x.front.reqResume()
	}
}

// onRspRoom is called by the front when it can take more of the response.
func (x *exchange) onRspRoom() {
	if x.place == placeAnswered {
		x.pumpAnswer()
		return
	}
	if x.place == placeAttached && (x.rsp.state == rspFlowing || x.rsp.interim) {
		x.back.rspResume()
		x.watch()
	}
}

// rspRoom is how many bytes of the response's body may come now.
func (x *exchange) rspRoom() int { return max(x.front.rspRoom(), 0) }

// clogged reports whether the response waits for its client to read: the body, or before it interim responses, of which a
// server may send any number. Those of h2 and h3 streams do not wait: see rspInterim there.
func (x *exchange) clogged() bool {
	flows := x.rsp.state == rspFlowing || x.rsp.state == rspAwaited && x.rsp.interim && x.req.head.Version < msg.HTTP2
	return flows && x.rspRoom() == 0
}

// watch sets the exchange's deadline to what it waits for now: the server, if it is the server's turn; nothing, if it is
// the client's, whose side keeps its own deadline.
func (x *exchange) watch() {
	if x.place != placeAttached {
		return
	}
	t := x.way.backend.timeouts
	d := t.Server
	switch {
	case x.rsp.tunnel && x.req.state == reqWhole:
		d = t.ServerFin
	case x.rsp.tunnel && x.rsp.state == rspWhole:
		d = t.ClientFin
	case x.rsp.tunnel:
		d = t.Tunnel
	case x.rsp.state == rspAwaited && x.req.state == reqFlowing && x.back.reqRoom() > 0:
		d = 0
	case x.clogged():
		d = 0
	}
	x.arm(d)
}

// arm sets the exchange's only deadline d from now; 0 takes it away.
func (x *exchange) arm(d time.Duration) {
	x.w.wheel.Arm(&x.timer, deadlineAfter(x.w.now, d))
}

// onTimeout is called when the deadline set last has passed.
func (x *exchange) onTimeout() {
	switch x.place {
	case placeQueued:
		x.onQueueTimeout()
	case placeWaiting:
		x.onConnectTimeout()
	case placeAttached:
		if x.rsp.tunnel { // nothing is under way, so both ends are told in order
			x.detach(true)
			x.end(causeTunnelIdle)
			return
		}
		x.serverFailed(causeServerTimeout)
	}
}
