package sim

import (
	"fmt"
	"time"

	"weir/netio"
)

// Origin is an HTTP/1 server's Script. It answers request after request; what it makes of them is up to its functions.
// Requests that are not HTTP/1 are failures of the world: a proxy sent them.
type Origin struct {
	// Answer is called with every whole request.
	Answer func(p *Peer, m *Message)
	// Early, unless it is nil, is called when a request's head has come, before its body.
	Early func(p *Peer, m *Message)
	// IdleMax closes the connection when no byte has come for so long: at some moment a request will cross the FIN.
	IdleMax time.Duration

	in    splitter
	early *Message
	heard uint64
}

// Open starts the idle clock.
func (o *Origin) Open(p *Peer) { o.idle(p) }

func (o *Origin) idle(p *Peer) {
	if o.IdleMax == 0 {
		return
	}
	o.heard++
	heard := o.heard
	p.net.After(o.IdleMax, func() {
		if o.heard == heard {
			p.Close()
		}
	})
}

// Data reads requests.
func (o *Origin) Data(p *Peer, b []byte) {
	o.idle(p)
	o.in.buf = append(o.in.buf, b...)
	for !p.Closed() {
		m, err := o.in.head()
		if m != nil && m != o.early && o.Early != nil {
			o.early = m
			o.Early(p, m)
		}
		if err == nil {
			m, err = o.in.next(false)
		}
		if err != nil {
			p.net.Fail("server %v: %v", p.Local(), err)
			p.Abort()
			return
		}
		if m == nil {
			return
		}
		o.Answer(p, m)
	}
}

// End closes this side too.
func (o *Origin) End(p *Peer, _ netio.IO) { p.Close() }

// Response is a response with a length.
func Response(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// The servers that follow are odd each in one way. Use them as the script function of Net.Server.

// Echo answers every request with its start line and body: the ordinary server.
func Echo() Script {
	return &Origin{Answer: func(p *Peer, m *Message) { p.Send(Response(200, EchoOf(m))) }}
}

// EchoOf is the body that Echo answers with.
func EchoOf(m *Message) string { return m.Method() + " " + m.Target() + "\n" + m.Body }

// HangsUp echoes, and closes after n responses without having said so.
func HangsUp(n int) func() Script {
	return func() Script {
		left := n
		return &Origin{Answer: func(p *Peer, m *Message) {
			p.Send(Response(200, EchoOf(m)))
			if left--; left == 0 {
				p.Close()
			}
		}}
	}
}

// Forgets echoes, and closes connections that were idle for d.
func Forgets(d time.Duration) func() Script {
	return func() Script {
		o := Echo().(*Origin)
		o.IdleMax = d
		return o
	}
}

// Silent reads requests and never answers.
func Silent() Script { return &Origin{Answer: func(*Peer, *Message) {}} }

// Slow echoes, n bytes each d.
func Slow(n int, d time.Duration) func() Script {
	return func() Script {
		return &Origin{Answer: func(p *Peer, m *Message) { p.Drip(Response(200, EchoOf(m)), n, d, nil) }}
	}
}

// Breaks resets the connection after n bytes of every response.
func Breaks(n int) func() Script {
	return func() Script {
		return &Origin{Answer: func(p *Peer, m *Message) {
			r := Response(200, EchoOf(m))
			p.Send(r[:min(n, len(r))])
			// Behind the bytes: a RST at once could not overtake them, but it would drop what the socket had no room for.
			p.net.After(time.Millisecond, p.Abort)
		}}
	}
}

// Hasty answers when it has the head, reads no body and closes.
func Hasty(status int) func() Script {
	return func() Script {
		return &Origin{Answer: func(*Peer, *Message) {}, Early: func(p *Peer, _ *Message) {
			p.Send(Response(status, "no"))
			p.ShutdownSend()
			p.Pause()
			p.net.After(time.Second, p.Close)
		}}
	}
}

// Babbles echoes, and sends a further response that nobody asked for.
func Babbles() Script {
	return &Origin{Answer: func(p *Peer, m *Message) { p.Send(Response(200, EchoOf(m)) + Response(200, "stray")) }}
}

// Surfer is an HTTP/1 client's Script: it sends its requests one after the other on one connection, checks that what comes
// back is HTTP/1, and keeps the responses.
type Surfer struct {
	// Requests are sent as they are.
	Requests []string
	// Check, unless it is nil, is called with each final response and the index of its request.
	Check func(p *Peer, i int, m *Message)
	// Think is how long the client waits before each further request.
	Think time.Duration
	// Pipeline sends all requests at once.
	Pipeline bool

	// Responses are the final ones; Interim the others.
	Responses, Interim []*Message
	// Ended is how the connection ended.
	Ended netio.IO

	in    splitter
	asked int // requests sent
}

// Open sends the first request, or all.
func (c *Surfer) Open(p *Peer) {
	if !c.Pipeline {
		c.ask(p)
		return
	}
	for range c.Requests {
		c.ask(p)
	}
}

// ask sends the next request.
func (c *Surfer) ask(p *Peer) {
	if i := c.asked; i < len(c.Requests) {
		c.asked++
		p.Send(c.Requests[i])
	}
}

// Data reads responses.
func (c *Surfer) Data(p *Peer, b []byte) {
	c.in.buf = append(c.in.buf, b...)
	c.take(p, false)
}

// End takes a response that ends with the connection.
func (c *Surfer) End(p *Peer, how netio.IO) {
	c.Ended = how
	c.take(p, how == netio.EOF)
	p.Close()
}

// Done reports whether every request was answered.
func (c *Surfer) Done() bool { return len(c.Responses) == len(c.Requests) }

func (c *Surfer) take(p *Peer, eof bool) {
	for !p.Closed() {
		i := len(c.Responses)
		c.in.bodyless = i < len(c.Requests) && len(c.Requests[i]) > 5 && c.Requests[i][:5] == "HEAD "
		m, err := c.in.next(eof)
		switch {
		case err != nil:
			p.net.Fail("client %v: %v", p.Local(), err)
			p.Abort()
			return
		case m == nil:
			return
		case m.Status() < 200 && m.Status() != 101:
			c.Interim = append(c.Interim, m)
			continue
		case i == c.asked:
			c.unasked(p, m.Start)
			return
		}
		c.Responses = append(c.Responses, m)
		if c.Check != nil {
			c.Check(p, i, m)
		}
		switch {
		case c.Done() && len(c.in.buf) > 0:
			c.unasked(p, string(c.in.buf))
		case c.Done():
			p.Close()
		case !c.Pipeline:
			p.net.After(c.Think, func() { c.ask(p) })
		}
	}
}

func (c *Surfer) unasked(p *Peer, what string) {
	p.net.Fail("client %v: a response that nobody asked for: %.100q", p.Local(), what)
	p.Abort()
}

// The clients that follow are odd each in one way.

// Loris sends request a byte at a time, each after d: a slow head, or body.
func Loris(request string, d time.Duration) *Dialogue { return Play(Trickle(request, 1, d)) }

// Deaf sends a request and never reads the response.
func Deaf(request string) *Dialogue { return Play(Deafen(), Say(request)) }

// Impatient sends a request and resets the connection d later.
func Impatient(request string, d time.Duration) *Dialogue {
	return Play(Say(request), Pause(d), Kill())
}

// HalfCloses sends a request, ends its direction, and reads until the other end does too.
func HalfCloses(request string) *Dialogue { return Play(Say(request), Shut(), hearAll()) }

// Mute connects and says nothing, until it is hung up on.
func Mute() *Dialogue { return Play(hearAll()) }

// hearAll takes whatever comes until the end, whatever that is.
func hearAll() Line {
	return Line{"hear all", func(d *Dialogue) bool {
		d.heard = nil
		return d.p.Ended != netio.OK
	}}
}
