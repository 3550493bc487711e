package limit

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/mono"
)

// request returns all that a keep-alive request touches of the table: a server's tokens, which a backend's queue wants too.
func request() func(mono.Time) {
	table := NewTable(2)
	server := NewCount(1000)
	q := table.NewQueue(NewCount(1024), func(int) {})
	q.Add(server)
	return func(mono.Time) {
		if !server.TryAcquire() {
			panic("refused")
		}
		server.Release()
	}
}

// session returns all that a TLS connection touches from accept to close, with a session's first request: each axis of the
// process, the frontend and the backend.
func session() func(mono.Time) {
	table := NewTable(2)
	var v Values
	for axis := range Axes {
		v.Axis[axis] = 1_000_000
	}
	places := []*Attachment{
		table.Attach(Global, "", "edge", v), table.Attach(Frontend, "web", "edge", v), table.Attach(Backend, "api", "edge", v),
	}
	return func(now mono.Time) {
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
}

func BenchmarkRequestAlone(b *testing.B) { alone(b, request()) }
func BenchmarkSessionAlone(b *testing.B) { alone(b, session()) }

func alone(b *testing.B, f func(mono.Time)) {
	b.ReportAllocs()
	now := mono.Time(time.Hour)
	for b.Loop() {
		now += 10_000
		f(now)
	}
}

// The benchmarks of two threads report ns/contended, the median over the bursts in which both threads ran at the same
// time, and of how many bursts that is. Look at these, not at ns/op: on a busy machine the threads of b.RunParallel take
// turns, nothing is contended, and the number is that of one thread.

func BenchmarkRequestContended(b *testing.B) { contended(b, request()) }
func BenchmarkSessionContended(b *testing.B) { contended(b, session()) }

// contended has two threads call f in short bursts that begin together.
func contended(b *testing.B, f func(mono.Time)) {
	const burst = 500
	if runtime.GOMAXPROCS(0) < 2 || runtime.NumCPU() < 2 {
		b.Skip("needs two CPUs")
	}
	origin := time.Now()
	begin, end := [2][]int64{make([]int64, b.N), make([]int64, b.N)}, [2][]int64{make([]int64, b.N), make([]int64, b.N)}
	var ready atomic.Int64
	var wg sync.WaitGroup
	for id := range 2 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			now := mono.Time(time.Hour)
			for i := range b.N {
				ready.Add(1)
				for ready.Load() < 2*int64(i+1) { // no yielding: both must be on a CPU when the burst begins
				}
				begin[id][i] = int64(time.Since(origin))
				for range burst {
					now += 10_000
					f(now)
				}
				end[id][i] = int64(time.Since(origin))
			}
		})
	}
	wg.Wait()
	var each []float64
	for i := range b.N {
		both := min(end[0][i], end[1][i]) - max(begin[0][i], begin[1][i])
		whole := max(end[0][i], end[1][i]) - min(begin[0][i], begin[1][i])
		// A thread that was put off its CPU for a while has a burst much longer than the other's.
		if both*10 >= whole*9 {
			each = append(each, float64(end[0][i]-begin[0][i])/burst, float64(end[1][i]-begin[1][i])/burst)
		}
	}
	b.ReportMetric(100*float64(len(each)/2)/float64(b.N), "%bursts")
	if len(each) > 0 {
		slices.Sort(each)
		b.ReportMetric(each[len(each)/2], "ns/contended")
		b.ReportMetric(each[len(each)*9/10], "ns/contended-p90")
	}
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
