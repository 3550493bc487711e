package h2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"weir/internal/msg"
)

// driver joins a codec to a socket the way an engine does, for one goroutine: read, let on act on each event, write.
type driver struct {
	c    *Conn
	nc   net.Conn
	h    msg.Head
	out  []byte
	todo map[*Stream][]byte // bodies that wait for room; nil ends the message too
}

func newDriver(nc net.Conn, server bool) *driver {
	cfg := DefaultConfig(server)
	d := &driver{c: New(&cfg, &Slab{}), nc: nc, todo: map[*Stream][]byte{}}
	d.out = d.c.AppendPreface(nil, 1)
	return d
}

func (d *driver) flush() error {
	d.out = d.c.AppendPending(d.out)
	_, err := d.nc.Write(d.out)
	d.out = d.out[:0]
	return err
}

// send sends what there is room for; the rest goes when NextWritable says so.
func (d *driver) send(s *Stream, body []byte) {
	var n int
	d.out, n = d.c.AppendData(d.out, s, body, true)
	d.todo[s] = body[n:]
}

// run reads until the connection ends or on says that it has seen enough.
func (d *driver) run(on func(ev Event) (done bool)) error {
	in, buf := []byte(nil), make([]byte, 32<<10)
	for {
		if err := d.flush(); err != nil {
			return err
		}
		n, err := d.nc.Read(buf)
		if err != nil {
			return err
		}
		for in = append(in, buf[:n]...); ; {
			ev, n, err := d.c.Recv(in, &d.h, 1)
			if err != nil {
				return err
			}
			done := on(ev)
			d.c.verify()
			if in = in[n:]; done {
				return nil
			}
			if ev.Kind == EventNone {
				break
			}
		}
		for s := d.c.NextWritable(); s != nil; s = d.c.NextWritable() {
			d.send(s, d.todo[s])
		}
	}
}

func loopback(t *testing.T) (a, b net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	got := make(chan net.Conn)
	go func() {
		nc, _ := ln.Accept()
		got <- nc
	}()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	b = <-got
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

const largeBody = 300_000 // several windows

// A client of x/net asks our server: uploads and downloads larger than the windows, a trailer, an interim response.
func TestXNetClientAsksUs(t *testing.T) {
	ours, theirs := loopback(t)
	d := newDriver(ours, true)
	bodies := map[*Stream]*bytes.Buffer{}
	served, trailers := make(chan error, 1), 0
	go func() {
		served <- d.run(func(ev Event) bool {
			s := ev.Stream
			switch ev.Kind {
			case EventHead:
				bodies[s] = &bytes.Buffer{}
				d.out = d.c.AppendHead(d.out, s, headOf("", 103, []string{"link=</style>"}), false)
			case EventData:
				bodies[s].Write(ev.Data)
				d.c.Consumed(s, len(ev.Data))
			case EventTrailers:
				trailers += len(d.h.Fields)
			}
			if ev.End {
				d.out = d.c.AppendHead(d.out, s, headOf("", 200, []string{"X-Server=weir", fmt.Sprintf("length=%d", bodies[s].Len())}), false)
				d.send(s, bodies[s].Bytes())
			}
			return false
		})
	}()
	cc, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range []int{0, 5, largeBody} {
		body := strings.Repeat("b", size)
		req, _ := http.NewRequestWithContext(context.Background(), "POST", "http://a.example/echo", strings.NewReader(body))
		if size > 0 { // without a body that client never comes to its trailers
			req.Trailer = http.Header{"X-Checksum": {"0"}}
		}
		rsp, err := cc.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rsp.Body)
		if err != nil || string(got) != body || rsp.StatusCode != 200 || rsp.Header.Get("X-Server") != "weir" {
			t.Fatalf("request %d: %v, status %d, %d bytes of %d", i, err, rsp.StatusCode, len(got), size)
		}
	}
	cc.Close()
	theirs.Close()
	if <-served; trailers != 2 {
		t.Errorf("%d trailer fields came", trailers)
	}
}

// Our client asks a server of x/net: the same from the other side, and a request that is given up.
func TestWeAskXNetServer(t *testing.T) {
	ours, theirs := loopback(t)
	go (&http2.Server{}).ServeConn(theirs, &http2.ServeConnOpts{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Query", r.URL.RawQuery+" "+r.Header.Get("X-Asked")+" "+r.Host)
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n))
	})})
	d := newDriver(ours, false)
	type result struct {
		query, sum string
		body       int
		reset      bool
	}
	results := map[uint32]*result{}
	ask := func(size int) *Stream {
		s, ok := d.c.Open(nil)
		if !ok {
			t.Fatal("no stream")
		}
		h := headOf("POST", 0, []string{"X-Asked=yes", fmt.Sprintf("length=%d", size)})
		h.Target = h.PutString(fmt.Sprintf("/echo?%d", size))
		d.out = d.c.AppendHead(d.out, s, h, false)
		results[s.ID] = &result{}
		d.send(s, bytes.Repeat([]byte("b"), size))
		return s
	}
	ask(0)
	ask(5)
	given := ask(largeBody)
	ask(largeBody)
	givenID := given.ID
	d.c.Forget(given)
	delete(d.todo, given)
	ended := 0
	err := d.run(func(ev Event) bool {
		s := ev.Stream
		if s == nil {
			return false
		}
		r := results[s.ID]
		switch ev.Kind {
		case EventHead:
			for i := range d.h.Fields {
				if f := &d.h.Fields[i]; string(d.h.Bytes(f.Name)) == "x-query" {
					r.query = string(d.h.Bytes(f.Value))
				}
			}
		case EventData:
			r.body += len(ev.Data)
			d.c.Consumed(s, len(ev.Data))
		case EventTrailers:
			r.sum = string(d.h.Bytes(d.h.Fields[0].Value))
		case EventReset:
			r.reset = true
		}
		if s.Closed() {
			ended++
			d.c.Forget(s)
		}
		return ended == 3
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, size := range map[uint32]int{1: 0, 3: 5, 7: largeBody} {
		want := result{query: fmt.Sprintf("%d yes a.example", size), sum: fmt.Sprint(size), body: size}
		if *results[id] != want {
			t.Errorf("stream %d: %+v, want %+v", id, *results[id], want)
		}
	}
	if r := results[givenID]; r.query != "" || r.body != 0 {
		t.Errorf("the stream given up: %+v", r)
	}
}
