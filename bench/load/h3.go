package load

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"weir/bench/epoll"
	"weir/bench/measure"
)

// h3run drives quic-go clients: a goroutine for each request in flight. It keeps the loop's rules for what counts, and
// differs in nothing but the machinery.
type h3run struct {
	job    *Job
	hooks  Hooks
	phase  atomic.Int32 // warming, measuring, over
	begin  atomic.Int64
	end    atomic.Int64
	quota  atomic.Int64 // counted runs: requests that may still be started
	work   chan int64   // open loop: when the next request was due
	owed   atomic.Int64 // open loop: requests that were due and have not been accounted for
	mu     sync.Mutex
	result *Result
	wg     sync.WaitGroup
}

func runH3(j *Job, hooks Hooks) (*Result, error) {
	r := &h3run{job: j, hooks: hooks, result: newResult(), work: make(chan int64, 1<<20)}
	transports, err := r.connect()
	defer func() {
		for _, t := range transports {
			t.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	r.phase.Store(int32(warming))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if j.Requests > 0 {
		return r.counted(ctx, transports)
	}
	r.spawn(ctx, transports)
	if j.Rate > 0 {
		go r.arrivals(ctx)
	}
	time.Sleep(j.Warmup)
	if hooks.Ready != nil {
		hooks.Ready()
	}
	used, err := r.open()
	if err != nil {
		return nil, err
	}
	time.Sleep(j.Duration)
	for patience := r.begin.Load() + int64(j.patience()); r.empty() && epoll.Now() < patience; {
		time.Sleep(sweepEvery)
	}
	err = r.close(used)
	if j.Rate > 0 { // What was due in the window and is still out may come in for a while.
		r.await(finishBound)
	}
	r.phase.Store(int32(over))
	cancel()
	r.wg.Wait()
	r.abandon()
	return r.result, err
}

// counted runs a fixed number of requests between the gate and the end.
func (r *h3run) counted(ctx context.Context, transports []*http3.Transport) (*Result, error) {
	if r.hooks.Ready != nil {
		r.hooks.Ready()
	}
	used, err := r.open()
	if err != nil {
		return nil, err
	}
	r.quota.Store(r.job.Requests)
	r.spawn(ctx, transports)
	r.wg.Wait()
	return r.result, r.close(used)
}

// connect opens the connections, each with a socket of its own, and makes a request on each.
func (r *h3run) connect() (transports []*http3.Transport, err error) {
	for range r.job.Conns {
		t := &http3.Transport{
			TLSClientConfig:    r.job.config(),
			QUICConfig:         &quic.Config{InitialStreamReceiveWindow: 16 << 20, InitialConnectionReceiveWindow: 32 << 20},
			DisableCompression: true,
			Dial: func(ctx context.Context, _ string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
				return quic.DialAddr(ctx, r.job.Addr.String(), c, q)
			},
		}
		transports = append(transports, t)
		ctx, cancel := context.WithTimeout(context.Background(), connectPatience)
		_, _, err := r.exchange(ctx, t)
		cancel()
		if err != nil {
			return transports, err
		}
	}
	return transports, nil
}

func (r *h3run) spawn(ctx context.Context, transports []*http3.Transport) {
	for _, t := range transports {
		for range r.job.Streams {
			r.wg.Go(func() { r.client(ctx, t) })
		}
	}
}

// client makes one request after the other.
func (r *h3run) client(ctx context.Context, t *http3.Transport) {
	for phase(r.phase.Load()) != over {
		due := epoll.Now()
		switch {
		case r.job.Rate > 0:
			select {
			case due = <-r.work:
			case <-ctx.Done():
				return
			}
		case r.job.Requests > 0:
			if r.quota.Add(-1) < 0 {
				return
			}
		}
		within, cancel := context.WithTimeout(ctx, r.job.patience())
		status, n, err := r.exchange(within, t)
		cancel()
		if ctx.Err() != nil {
			r.work <- due // For abandon to count.
			return
		}
		r.account(due, status, n, err)
		r.owed.Add(-1)
	}
}

// empty is the loop's.
func (r *h3run) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result.Completed+r.result.Failures() == 0
}

func (r *h3run) exchange(ctx context.Context, t *http3.Transport) (status int, n int64, err error) {
	req, err := http.NewRequestWithContext(ctx, r.job.Method, "https://"+host+r.job.Path, nil)
	if err != nil {
		return 0, 0, err
	}
	for _, f := range r.job.fields() {
		req.Header.Set(f[0], f[1])
	}
	rsp, err := t.RoundTrip(req)
	if err != nil {
		return 0, 0, err
	}
	defer rsp.Body.Close()
	n, err = io.Copy(io.Discard, rsp.Body)
	return rsp.StatusCode, n, err
}

func (r *h3run) counts(due int64) bool {
	if r.job.Rate > 0 {
		begin := r.begin.Load()
		return begin > 0 && due >= begin && (r.end.Load() == 0 || due < r.end.Load())
	}
	return phase(r.phase.Load()) == measuring
}

func (r *h3run) account(due int64, status int, n int64, err error) {
	now := epoll.Now()
	if !r.counts(due) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.result.Errors["h3: "+err.Error()]++
	case status != http.StatusOK:
		r.result.Statuses[status]++
		r.result.Errors["unexpected status"]++
	case n != r.job.Expect:
		r.result.Errors["body of the wrong size"]++
	default:
		r.result.Completed++
		r.result.Moved += n
		r.result.Latency.Record(now - due)
	}
}

// arrivals keeps the open loop's schedule.
func (r *h3run) arrivals(ctx context.Context) {
	s := newSchedule(r.job.Rate, r.job.Seed, epoll.Now())
	for ctx.Err() == nil {
		now := epoll.Now()
		for due, ok := s.due(now); ok; due, ok = s.due(now) {
			r.owed.Add(1)
			r.work <- due
		}
		if phase(r.phase.Load()) != warming && r.end.Load() != 0 {
			return
		}
		time.Sleep(time.Duration(int64(s.next) - epoll.Now()))
	}
}

func (r *h3run) open() (map[string]measure.Usage, error) {
	used, err := r.job.usage()
	if r.hooks.Measuring != nil {
		r.hooks.Measuring()
	}
	r.begin.Store(epoll.Now())
	r.phase.Store(int32(measuring))
	return used, err
}

// close ends the window. Requests of an open loop that were due in it still count.
func (r *h3run) close(before map[string]measure.Usage) error {
	now := epoll.Now()
	r.end.Store(now)
	r.phase.Store(int32(finishing))
	after, err := r.job.usage()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Elapsed = time.Duration(now - r.begin.Load())
	for name, u := range after {
		r.result.Used[name] = u.Sub(before[name])
	}
	return err
}

// await waits until all requests that were due are accounted for, at most for d.
func (r *h3run) await(d time.Duration) {
	for until := epoll.Now() + int64(d); r.owed.Load() > 0 && epoll.Now() < until; {
		time.Sleep(10 * time.Millisecond)
	}
}

// abandon counts what was due in the window and has no answer.
func (r *h3run) abandon() {
	now := epoll.Now()
	for {
		select {
		case due := <-r.work:
			if r.counts(due) {
				r.result.Unfinished++
				r.result.Latency.Record(now - due)
			}
		default:
			return
		}
	}
}
