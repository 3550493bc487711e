package load

// outcome is how one request ended.
type outcome struct {
	due    int64 // epoll.Now when it was to be sent
	status int
	bytes  int64 // of response body
}

// protocol is the client side of one connection: it writes requests and takes responses apart, and does no I/O.
type protocol interface {
	// hello appends what is sent as soon as the connection stands.
	hello(out []byte) []byte
	// ready says whether requests may be sent: the hello was answered, if it needs to be.
	ready() bool
	// request appends a request that was due at the given time; large bodies are the client's business.
	request(due int64, out []byte) []byte
	// recv takes what arrived, calls done for each response that is complete, and appends what the protocol itself has
	// to send. A non-empty string says what the server did wrong; the connection is then closed.
	recv(p, out []byte, done func(outcome)) ([]byte, string)
	// skippable is how many of the next bytes nobody looks at; skipped counts those that were discarded.
	skippable() int64
	skipped(n int64, done func(outcome))
	// pending is the number of requests sent and not answered; oldest is when the first of them was due.
	pending() int
	oldest() int64
	// closing says that the server will close: no further request may be sent.
	closing() bool
	// forget passes the due times of all pending requests to f and forgets them.
	forget(f func(due int64))
	// reset makes it ready for a new connection.
	reset()
}

// dues is a first-in first-out queue of due times that keeps its memory.
type dues struct {
	items []int64
	head  int
}

func (q *dues) push(due int64) {
	if q.head > 64 && q.head*2 > len(q.items) {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	q.items = append(q.items, due)
}

func (q *dues) pop() int64 {
	due := q.items[q.head]
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return due
}

func (q *dues) len() int     { return len(q.items) - q.head }
func (q *dues) first() int64 { return q.items[q.head] }
func (q *dues) clear()       { q.items, q.head = q.items[:0], 0 }
