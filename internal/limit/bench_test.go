package limit

import (
	"sync/atomic"
	"testing"

	"weir/internal/mono"
)

// BenchmarkRequest is all that a keep-alive request touches of the table: a server's tokens, which are also wanted by a
// backend's queue.
func BenchmarkRequest(b *testing.B) {
	table := NewTable(2)
	server := NewCount(1000)
	q := table.NewQueue(NewCount(1024), func(int) {})
	q.Add(server)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !server.TryAcquire() {
				panic("refused")
			}
			server.Release()
		}
	})
}

// BenchmarkSession is all that a TLS connection with one request touches, from accept to close: every axis of the process,
// the frontend and the backend.
func BenchmarkSession(b *testing.B) {
	table := NewTable(2)
	var v Values
	for axis := range Axes {
		v.Axis[axis] = 1_000_000
	}
	places := []*Attachment{
		table.Attach(Global, "", "edge", v), table.Attach(Frontend, "web", "edge", v), table.Attach(Backend, "api", "edge", v),
	}
	var clock atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := mono.Time(clock.Add(1))
		for pb.Next() {
			now += 10_000
			for _, a := range places {
				a.Admission.Take(now)
				a.ConnRate.Take(now)
				a.Conn.TryAcquire()
				a.SSLRate.Take(now)
				a.SSLConn.TryAcquire()
				a.SessRate.Take(now)
			}
			for _, a := range places {
				a.SSLConn.Release()
				a.Conn.Release()
			}
		}
	})
}

// BenchmarkHandOver is a token that goes from one waiter to the next, on one thread.
func BenchmarkHandOver(b *testing.B) {
	table := NewTable(64)
	c := NewCount(1)
	q := table.NewQueue(NewCount(0), func(int) {})
	q.Add(c)
	line := q.Line(5)
	var ws [2]Waiter
	line.Join(&ws[0], 1, 0)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		line.Join(&ws[i&1], 1, 0)
		c.Release()
		line.Granted(func(*Waiter) {})
	}
}
