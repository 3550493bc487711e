package origin

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

type mode uint8

const (
	modeNew     mode = iota // nothing was received: may become h2c
	modeHead                // h1, between requests or inside a head
	modeBody                // h1, inside a body of known length
	modeChunked             // h1, inside a chunked body
	modeDelay               // h1, the answer waits for its time
	modeBulk                // h1, a large body is being sent
	modeSocket              // WebSocket
	modeH2
	modeEnded // close once everything was written
)

const (
	headBytesMax = 64 << 10
	echoBytesMax = 4 << 20
)

// conn is the protocol side of one connection: bytes in, bytes out. Its loop owns it.
type conn struct {
	srv  *server
	mode mode
	kept []byte // input that does not make a whole yet

	req  request
	bulk int64 // body bytes still to be sent out of the pattern, when modeBulk
	size int64 // of the body that bulk belongs to

	h2 *h2conn

	// after asks the loop to call due(stream) when d has passed.
	after func(d time.Duration, stream uint32)
}

// request is what the current h1 request needs remembered until it is answered.
type request struct {
	reply     *reply
	left      int64 // body bytes still to come
	chunk     chunkState
	close     bool // the connection ends after the response
	sum       hash.Hash
	echo      []byte
	socketKey string
}

// server is what the connections of one loop share.
type server struct {
	replies  replies
	counters *Counters
}

// recv takes what was read and appends to out what is to be written. Input that cannot be used yet is kept.
func (c *conn) recv(p, out []byte) []byte {
	if len(c.kept) > 0 {
		c.kept = append(c.kept, p...)
		p = c.kept
	}
	for len(p) > 0 {
		n := 0
		n, out = c.step(p, out)
		if n == 0 {
			break
		}
		p = p[n:]
	}
	if c.mode == modeEnded {
		p = nil
	}
	c.kept = append(c.kept[:0], p...)
	if cap(c.kept) > 64<<10 && len(c.kept) == 0 {
		c.kept = nil
	}
	return out
}

// step uses up one piece of p and says how long it was; 0 asks for more input or for time.
func (c *conn) step(p, out []byte) (int, []byte) {
	switch c.mode {
	case modeNew:
		return c.begin(p, out)
	case modeHead:
		return c.head(p, out)
	case modeBody:
		n := int(min(int64(len(p)), c.req.left))
		c.req.left -= int64(n)
		c.take(p[:n])
		if c.req.left == 0 {
			out = c.answer(out)
		}
		return n, out
	case modeChunked:
		return c.chunked(p, out)
	case modeSocket:
		return c.frame(p, out)
	case modeH2:
		return c.frameH2(p, out)
	}
	return 0, out
}

// skippable says how many body bytes may be discarded unread, because nobody looks at them.
func (c *conn) skippable() int64 {
	if c.mode != modeBody || c.req.reply.kind == kindHash || c.req.reply.kind == kindEcho {
		return 0
	}
	return c.req.left
}

// skipped counts n bytes that were discarded after skippable allowed it.
func (c *conn) skipped(n int64, out []byte) []byte {
	if c.req.left -= n; c.req.left == 0 {
		out = c.answer(out)
	}
	return out
}

// take is given every byte of a request body.
func (c *conn) take(p []byte) {
	switch c.req.reply.kind {
	case kindHash:
		if c.req.sum == nil {
			c.req.sum = sha256.New()
		}
		c.req.sum.Write(p)
	case kindEcho:
		if len(c.req.echo)+len(p) <= echoBytesMax {
			c.req.echo = append(c.req.echo, p...)
		}
	}
}

// answer is called when a request is complete.
func (c *conn) answer(out []byte) []byte {
	c.srv.counters.requests.Add(1)
	if d := c.req.reply.delay; d > 0 {
		c.mode = modeDelay
		c.after(d, 0)
		return out
	}
	return c.respond(out)
}

// due is called when a delayed answer's time has come. Input that arrived meanwhile is used up.
func (c *conn) due(stream uint32, out []byte) []byte {
	switch c.mode {
	case modeDelay:
		return c.recv(nil, c.respond(out))
	case modeH2:
		return c.h2.due(stream, out)
	}
	return out
}

func (c *conn) respond(out []byte) []byte {
	r := c.req.reply
	c.mode = modeHead
	switch {
	case r.kind == kindSocket:
		return c.accept(out)
	case r.kind == kindHash:
		out = append(out, r.h1...)
		out = append(out, hashText(c.req.sum)...)
	case r.kind == kindEcho:
		out = appendHeadH1(out, r.status, int64(len(c.req.echo)))
		out = append(out, c.req.echo...)
	case r.kind == kindBody && !r.inline():
		out = append(out, r.h1...)
		c.mode, c.bulk, c.size = modeBulk, r.size, r.size
		return out
	default:
		out = append(out, r.h1...)
	}
	c.finish()
	return out
}

// finish ends the current request: the next one, or the end of the connection.
func (c *conn) finish() {
	c.mode = modeHead
	if c.req.close {
		c.mode = modeEnded
	}
	c.req = request{}
}

// nextBulk is the next piece of the large body being sent; nil when there is none.
func (c *conn) nextBulk() []byte {
	if c.mode != modeBulk {
		return nil
	}
	at := (c.size - c.bulk) % patternBytes
	return pattern[at:min(patternBytes, at+c.bulk)]
}

// sentBulk counts n written bytes of nextBulk; after the last one, input that waited is used up.
func (c *conn) sentBulk(n int, out []byte) []byte {
	if c.bulk -= int64(n); c.bulk > 0 {
		return out
	}
	c.finish()
	return c.recv(nil, out)
}

// readable says whether the loop should read: not while an answer is owed, so that a pipelining client is held back.
func (c *conn) readable() bool {
	return c.mode != modeDelay && c.mode != modeBulk && c.mode != modeEnded
}

func hashText(sum hash.Hash) []byte {
	if sum == nil {
		sum = sha256.New()
	}
	return hex.AppendEncode(nil, sum.Sum(nil))
}
