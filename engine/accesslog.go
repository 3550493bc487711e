package engine

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/valyala/bytebufferpool"

	"weir/internal/config"
	"weir/internal/mono"
	"weir/internal/msg"
	"weir/internal/stats"
)

// accessLog writes lines that workers hand over. A worker never waits for it: what does not fit into the queue is dropped
// and counted.
type accessLog struct {
	queue chan *bytebufferpool.ByteBuffer
	out   io.Writer
	done  sync.WaitGroup
	pool  bytebufferpool.Pool
	lost  atomic.Uint64 // lines that the writer could not write and no worker has counted yet
	empty chan struct{} // what was handed over before a mark has been written
}

// accessQueue is how many hand-overs may wait for the writer. Each is at most accessBatch bytes and one line.
const (
	accessQueue = 256
	accessBatch = 32 << 10
)

// newAccessLog starts the writer's goroutine. out is used by it alone.
func newAccessLog(out io.Writer) *accessLog {
	l := &accessLog{queue: make(chan *bytebufferpool.ByteBuffer, accessQueue), out: out, empty: make(chan struct{}, 1)}
	l.done.Add(1)
	go l.write()
	return l
}

func (l *accessLog) write() {
	defer l.done.Done()
	for b := range l.queue {
		if b == nil { // a mark
			select {
			case l.empty <- struct{}{}:
			default:
			}
			continue
		}
		if n, err := l.out.Write(b.B); err != nil {
			l.lost.Add(uint64(bytes.Count(b.B[n:], []byte("\n"))))
		}
		l.pool.Put(b)
	}
}

// flushTime bounds the wait for a writer that may hang on its disk.
const flushTime = time.Second

// flush waits until what workers have handed over is written. One caller at a time.
func (l *accessLog) flush() {
	late := time.NewTimer(flushTime)
	defer late.Stop()
	select {
	case <-l.empty: // of a mark that came too late for who waited for it
	default:
	}
	select {
	case l.queue <- nil:
	case <-late.C:
		return
	}
	select {
	case <-l.empty:
	case <-late.C:
	}
}

// close writes what is queued and ends the writer. No worker may be running.
func (l *accessLog) close() {
	close(l.queue)
	l.done.Wait()
}

// accessLine makes one worker's lines and hands them over once a turn.
type accessLine struct {
	w     *worker
	log   *accessLog // nil: there is nowhere to write
	on    bool       // the configuration asks for lines
	batch *bytebufferpool.ByteBuffer
	lines uint64
}

// follow switches the lines on or off as a configuration says.
func (a *accessLine) follow(cfg *config.Config) {
	a.handOver()
	a.on = a.log != nil && cfg.Global.AccessLog != config.AccessLogOff
}

// handOver gives the batch to the writer. If that is behind, the batch waits for a later turn and grows, and is dropped when it
// is full: turns can be so short that a writer which is kept from running for a moment misses hundreds.
func (a *accessLine) handOver() {
	if a.log != nil && a.log.lost.Load() > 0 {
		a.w.stats.Loop.LogDropped += a.log.lost.Swap(0)
	}
	if a.batch == nil || len(a.batch.B) == 0 {
		return
	}
	select {
	case a.log.queue <- a.batch:
		a.w.stats.Loop.LogLines += a.lines
		a.batch = nil
	default:
		if len(a.batch.B) < accessBatch {
			return
		}
		a.w.stats.Loop.LogDropped += a.lines
		a.batch.Reset()
	}
	a.lines = 0
}

// accessRetry is when a worker that could sleep looks again whether the writer takes its batch.
const accessRetry = 10 * time.Millisecond

// retryAt is when handOver is due if no turn comes before.
func (a *accessLine) retryAt() mono.Time {
	if a.lines == 0 {
		return mono.Never
	}
	return a.w.now.Add(accessRetry)
}

// write appends the line of an exchange that has ended.
func (a *accessLine) write(x *exchange) {
	if !a.on {
		return
	}
	if a.batch == nil {
		a.batch = a.log.pool.Get()
	}
	b := a.head(a.batch.B, x)
	b = a.times(b, x)
	b = a.connection(b, x)
	a.batch.B = append(b, "}\n"...)
	a.lines++
	if len(a.batch.B) >= accessBatch {
		a.handOver()
	}
}

// head writes who asked whom for what.
func (a *accessLine) head(b []byte, x *exchange) []byte {
	h := &x.req.head
	b = append(b, `{"time":"`...)
	b = time.Unix(0, x.time.wall).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	b = append(b, `","generation":`...)
	b = strconv.AppendUint(b, a.w.view.generation, 10)
	b = append(b, `,"worker":`...)
	b = strconv.AppendInt(b, int64(a.w.id), 10)
	b = appendText(b, `,"request_id":`, h.Get(msg.FieldXRequestID))
	b = append(b, `,"client":"`...)
	b = x.s.peer.AppendTo(b)
	b = append(b, '"')
	b = appendWord(b, `,"frontend":`, x.s.fe.cfg.Name)
	backend, server := "", ""
	if x.way.backend != nil {
		backend = x.way.backend.cfg.Name
	}
	if x.way.server != nil {
		server = x.way.server.cfg.Name
	}
	b = appendWord(b, `,"backend":`, backend)
	b = appendWord(b, `,"server":`, server)
	b = appendWord(b, `,"protocol":`, versionWord(h.Version))
	b = appendText(b, `,"method":`, h.Bytes(h.Name))
	b = appendText(b, `,"host":`, h.Bytes(h.Authority))
	b = appendText(b, `,"path":`, h.Bytes(h.Target))
	b = append(b, `,"status":`...)
	b = strconv.AppendUint(b, uint64(x.rsp.status), 10)
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, x.req.bytes, 10)
	b = append(b, `,"bytes_out":`...)
	return strconv.AppendInt(b, x.rsp.bytes, 10)
}

// times writes microseconds: when the head had come and when the response began, as the whole is measured, from the request's
// first byte on; and how long waiting and connecting took. What did not happen is 0.
func (a *accessLine) times(b []byte, x *exchange) []byte {
	t := &x.time
	b = appendMicros(b, `,"t_request":`, t.start, t.head)
	b = append(b, `,"t_queue":`...)
	b = strconv.AppendInt(b, t.dequeued.Microseconds(), 10)
	b = appendMicros(b, `,"t_connect":`, t.seek, t.attach)
	b = appendMicros(b, `,"t_response":`, t.start, t.response)
	return appendMicros(b, `,"t_total":`, t.start, a.w.now)
}

// connection writes what carried the exchange and why it did not go the usual way.
func (a *accessLine) connection(b []byte, x *exchange) []byte {
	b = append(b, `,"conn_reused":`...)
	b = strconv.AppendBool(b, x.way.reused)
	b = append(b, `,"conn_requests":`...)
	b = strconv.AppendUint(b, uint64(x.way.connReqs), 10)
	b = append(b, `,"conn_age_ms":`...)
	b = strconv.AppendInt(b, x.way.connAge.Milliseconds(), 10)
	b = append(b, `,"retries":`...)
	b = strconv.AppendInt(b, int64(x.way.retries), 10)
	reason, axis, version := "", "", ""
	resumed := false
	if x.cut != nil {
		reason = x.cut.word
	}
	if x.way.limited {
		axis = x.way.axis.String()
	}
	if x.s.secure != nil {
		version, resumed = x.s.secure.version, x.s.secure.resumed
	}
	b = appendWord(b, `,"reason":`, reason)
	b = appendWord(b, `,"limit_axis":`, axis)
	b = appendWord(b, `,"tls_version":`, version)
	b = append(b, `,"tls_resumed":`...)
	return strconv.AppendBool(b, resumed)
}

func appendMicros(b []byte, key string, from, to mono.Time) []byte {
	b = append(b, key...)
	if from.IsZero() || to.IsZero() {
		return append(b, '0')
	}
	return strconv.AppendInt(b, max(to.Sub(from).Microseconds(), 0), 10)
}

// appendWord writes a name of the configuration or one of our own words.
func appendWord(b []byte, key, v string) []byte {
	b = append(append(b, key...), '"')
	for i := 0; i < len(v); i++ {
		b = appendEscaped(b, v[i])
	}
	return append(b, '"')
}

// appendText writes what a client sent. Bytes that are not UTF-8 are written as the code points of Latin-1, so that a line
// is always valid JSON and nothing of what came is lost.
func appendText(b []byte, key string, v []byte) []byte {
	b = append(append(b, key...), '"')
	if len(v) > textMax {
		v = v[:textMax]
	}
	valid := utf8.Valid(v)
	for _, c := range v {
		if c >= 0x80 && !valid {
			b = utf8.AppendRune(b, rune(c))
			continue
		}
		b = appendEscaped(b, c)
	}
	return append(b, '"')
}

// textMax bounds a text of a client in a line.
const textMax = 4 << 10

func appendEscaped(b []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(b, '\\', c)
	case c < 0x20 || c == 0x7f:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return append(b, c)
}

func versionWord(v msg.Version) string {
	switch v {
	case msg.HTTP10:
		return "HTTP/1.0"
	case msg.HTTP2:
		return "HTTP/2"
	case msg.HTTP3:
		return "HTTP/3"
	}
	return "HTTP/1.1"
}

// count adds an exchange that has ended to the worker's cells.
func (x *exchange) count() {
	cells := x.way.route
	if cells == nil {
		cells = x.s.fe.unrouted
	}
	cells.Count(int(x.rsp.status), x.s.proto)
	x.s.bytesIn += uint64(x.req.bytes)
	x.s.bytesOut += uint64(x.rsp.bytes)
	x.s.ended = x.w.now
	x.s.fe.cells.BytesIn += uint64(x.req.bytes)
	x.s.fe.cells.BytesOut += uint64(x.rsp.bytes)
	if be := x.way.backend; be != nil {
		be.cells.RequestDuration.Observe(int64(x.w.now.Sub(x.time.head)))
	}
	if x.way.server != nil {
		x.way.server.cells.BytesIn += uint64(x.rsp.bytes)
		x.way.server.cells.BytesOut += uint64(x.req.bytes)
	}
	if x.cut == nil {
		return
	}
	f := stats.Failure{UnixNano: endedAt(x), Frontend: x.s.fe.cfg.Name, Client: x.s.peer, Status: int(x.rsp.status), Reason: x.cut.word, Detail: x.cut.proxy}
	if x.way.backend != nil {
		f.Backend = x.way.backend.cfg.Name
	}
	if x.way.server != nil {
		f.Server = x.way.server.cfg.Name
	}
	x.w.stats.Fail(f)
}

// endedAt is when the exchange ended, in nanoseconds of Unix time.
func endedAt(x *exchange) int64 { return x.time.wall + int64(x.w.now.Sub(x.time.start)) }
