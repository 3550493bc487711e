package load

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"time"

	"weir/bench/epoll"
	"weir/bench/measure"
)

// phase is what the loop is doing, in order.
type phase uint8

const (
	opening   phase = iota // exactly until all connections stand
	warming                // requests flow, nothing counts
	pausing                // a counted run: nothing is sent, what is in flight is awaited
	measuring              // everything counts
	finishing              // open loop: nothing is sent any more, what is still due is awaited
	over
)

const (
	finishBound = time.Second
	sweepEvery  = 25 * time.Millisecond
	setupErrors = 10
	errorsMax   = 2000 // a run with more is of no use and would only go on to fail
)

type loop struct {
	job     *Job
	config  *tls.Config
	poll    *epoll.Poller
	in      []byte
	control []byte // what protocols have to send of their own
	now     int64
	onDone  func(outcome) // l.done, made once
	hooks   Hooks

	clients []*client
	current *client // whose protocol is running
	free    ring    // open loop: clients with room
	backlog dues    // open loop: requests due while no client had room
	sched   *schedule
	turn    int

	phase      phase
	counting   bool
	begin, end int64 // of the measured window; while the loop warms up, of that
	phaseEnd   int64
	sweepAt    int64
	quota      int64 // requests that may still be started; negative: without bound
	inWindow   int64 // open loop: due in the window and not accounted for
	failed     int64
	fault      error
	used       map[string]measure.Usage
	slow       *slowClients

	result *Result
}

// Hooks let the process around a run take part in it. Both are called on the loop's thread; nil is allowed.
type Hooks struct {
	Ready     func() // all connections stand and are warm; with Job.Gate the run goes on when it returns
	Measuring func() // the measured window begins
}

func newLoop(j *Job, hooks Hooks) (*loop, error) {
	poll, err := epoll.NewPoller(512)
	if err != nil {
		return nil, err
	}
	l := &loop{job: j, poll: poll, in: make([]byte, readBytes), hooks: hooks, result: newResult()}
	l.onDone = l.done
	if j.TLS != Clear {
		l.config = j.config()
	}
	for i := range j.Conns {
		l.clients = append(l.clients, &client{slot: uint32(i), proto: newProtocol(j)})
	}
	if j.Slow != (Slow{}) {
		l.slow = newSlowClients(j)
	}
	return l, nil
}

func newResult() *Result {
	return &Result{Statuses: map[int]int64{}, Errors: map[string]int64{}, Used: map[string]measure.Usage{}}
}

func newProtocol(j *Job) protocol {
	switch j.Protocol {
	case H2:
		return newH2(j)
	case Socket:
		return newSocket(j)
	}
	return newH1(j)
}

func (l *loop) source() netip.Addr {
	if len(l.job.Sources) == 0 {
		return netip.Addr{}
	}
	l.turn++
	return l.job.Sources[l.turn%len(l.job.Sources)]
}

// run does the whole job.
func (l *loop) run() (*Result, error) {
	l.now = epoll.Now()
	l.enter(opening)
	for l.phase != over {
		events := l.poll.Wait(l.wait())
		l.now = epoll.Now()
		for i := range events {
			word := events[i].Word()
			if c := l.clients[uint32(word)]; c.gen == uint32(word>>32) && c.life != idleLife {
				l.onEvent(c, events[i].Ready())
			}
		}
		l.now = epoll.Now()
		l.tick()
	}
	l.close()
	return l.result, l.fault
}

func (l *loop) close() {
	for _, c := range l.clients {
		if c.life != idleLife {
			l.drop(c)
		}
	}
	if l.slow != nil {
		l.slow.close()
	}
	l.poll.Close()
}

// wait is how long the loop may sleep.
func (l *loop) wait() time.Duration {
	until := min(l.sweepAt, l.phaseEnd)
	if l.sched != nil {
		until = min(until, int64(l.sched.next))
	}
	return max(0, time.Duration(until-l.now))
}

// tick does what time asks for.
func (l *loop) tick() {
	if l.sched != nil {
		for due, ok := l.sched.due(l.now); ok; due, ok = l.sched.due(l.now) {
			l.arrive(due)
		}
	}
	if l.now >= l.sweepAt {
		l.sweepAt = l.now + int64(sweepEvery)
		l.sweep()
	}
	switch {
	case l.fault != nil:
		l.stop()
	case l.phase == opening && l.failed > int64(setupErrors+2*l.job.Conns):
		l.fault = fmt.Errorf("the connections of the setup do not stand: %v", l.result.Errors)
	case l.failed > errorsMax:
		l.stop()
	case l.phase == opening && l.allOpen():
		l.enter(warming)
	case l.phase == opening && l.now >= l.phaseEnd:
		l.fault = fmt.Errorf("the connections of the setup do not stand in time: %v", l.result.Errors)
	case l.phase == pausing && l.quiet():
		l.enter(measuring)
	case l.phase == measuring && l.job.Requests > 0 && l.answered() >= l.job.Requests:
		l.stop()
	case l.phase == finishing && l.inWindow == 0:
		l.enter(over)
	case l.now >= l.phaseEnd:
		l.onPhaseEnd()
	}
}

// onPhaseEnd moves on when a phase has had its time. A run of a counted number of requests pauses before they begin,
// so that exactly they are what a tracer or the origin counts; others measure on from the warm-up without a break.
func (l *loop) onPhaseEnd() {
	switch {
	case l.phase == warming && l.cold() && l.now < l.begin+int64(l.job.patience()):
		l.phaseEnd = l.now + int64(sweepEvery)
	case l.phase == warming && l.job.Requests <= 0:
		l.enter(measuring)
	case l.phase == measuring && l.empty() && l.now < l.begin+int64(l.job.patience()):
		l.phaseEnd = l.now + int64(sweepEvery)
		l.end = l.phaseEnd
	case l.phase == measuring && l.job.Rate <= 0:
		l.stop()
	default:
		l.enter(l.phase + 1)
	}
}

// cold says that a run of resumptions has no sessions to resume yet: each connection's first handshake is a full one.
func (l *loop) cold() bool {
	return l.job.TLS == Resumed && l.job.PerRequest && l.job.Warmup > 0 && (l.result.TLSInfo == nil || l.result.TLSInfo.Resumed < int64(l.job.Conns))
}

// empty says that the window has seen no request yet: it tells nothing, and goes on. A machine that had no time for us for as
// long as a short window takes is no fault of whom we measure.
func (l *loop) empty() bool { return l.answered()+l.inWindow == 0 }

func (l *loop) answered() int64 { return l.result.Completed + l.result.Shed + l.result.Failures() }

// quiet says that no request is in flight.
func (l *loop) quiet() bool {
	for _, c := range l.clients {
		if c.load() > 0 {
			return false
		}
	}
	return true
}

// stop ends the run.
func (l *loop) stop() {
	if l.phase == measuring {
		l.endWindow()
	}
	l.enter(over)
}

func (l *loop) enter(p phase) {
	if l.phase == finishing {
		l.abandon()
		l.takeUsage()
	}
	l.phase = p
	switch p {
	case opening:
		l.phaseEnd = l.now + int64(connectPatience)
		if l.job.PerRequest {
			return
		}
		for _, c := range l.clients {
			l.dial(c)
		}
	case warming:
		l.begin = l.now
		l.phaseEnd = l.now + int64(l.job.Warmup)
		l.quota = -1
		if l.job.Warmup > 0 {
			l.feed()
		}
	case pausing:
		l.phaseEnd = l.now + int64(l.job.patience())
	case measuring:
		l.beginWindow()
	case finishing: // An open loop's window is over; its CPU time is read later, for reading holds up what is in flight.
		l.counting, l.end, l.sched = false, l.now, nil
		l.result.Elapsed = time.Duration(l.end - l.begin)
		l.phaseEnd = l.now + int64(finishBound)
	}
}

func (l *loop) allOpen() bool {
	if l.job.PerRequest {
		return true
	}
	for _, c := range l.clients {
		if c.life != open {
			return false
		}
	}
	return true
}

// feed starts the flow of requests.
func (l *loop) feed() {
	if l.job.Rate > 0 {
		for _, c := range l.clients {
			l.release(c)
		}
		l.sched = newSchedule(l.job.Rate, l.job.Seed, l.now)
		return
	}
	for range l.job.Streams {
		for _, c := range l.clients {
			if l.quota == 0 {
				return
			}
			l.quota--
			l.start(c, l.now)
			l.flush(c)
		}
	}
}

// settle is how long after its formal begin an open loop's window opens: reading the CPU times takes a millisecond, and
// the requests that were due meanwhile were late for a reason that is ours.
const settle = 5 * time.Millisecond

func (l *loop) beginWindow() {
	if l.hooks.Ready != nil {
		before := epoll.Now()
		l.hooks.Ready()
		if l.sched != nil {
			l.sched.pause(epoll.Now() - before)
		}
	}
	l.used = l.usage()
	if l.hooks.Measuring != nil {
		l.hooks.Measuring()
	}
	l.now = epoll.Now()
	l.begin, l.counting = l.now, true
	if info := l.result.TLSInfo; info != nil {
		info.Handshakes, info.Resumed = 0, 0 // The first ones had no session to resume.
	}
	if l.job.Rate > 0 {
		l.begin += int64(settle)
	}
	l.phaseEnd = l.begin + int64(l.job.Duration)
	l.end = l.phaseEnd
	if l.job.Requests > 0 {
		l.phaseEnd = l.begin + int64(countedBound)
		l.quota = l.job.Requests
	}
	if l.job.Requests > 0 || l.job.Warmup == 0 {
		l.feed()
	}
}

// countedBound ends a run of a counted number of requests that does not get there.
const countedBound = 30 * time.Second

// endWindow ends a closed loop's window.
func (l *loop) endWindow() {
	l.takeUsage()
	l.counting = false
	l.end = l.now
	l.result.Elapsed = time.Duration(l.end - l.begin)
}

func (l *loop) takeUsage() {
	for name, u := range l.usage() {
		l.result.Used[name] = u.Sub(l.used[name])
	}
}

// usage reads the CPU time of everything that is watched.
func (l *loop) usage() map[string]measure.Usage {
	all, err := l.job.usage()
	if err != nil {
		l.fault = err
	}
	return all
}

// usage reads the CPU time of everything that is watched, our own ("load") and the machine's ("machine").
func (j *Job) usage() (all map[string]measure.Usage, err error) {
	all = map[string]measure.Usage{"machine": {CPU: measure.MachineBusy()}}
	for name, pid := range j.Watch {
		u, readErr := measure.ReadUsage(pid)
		if readErr != nil {
			err = fmt.Errorf("%s is gone: %w", name, readErr)
		}
		all[name] = u
	}
	all["load"], _ = measure.ReadUsage(os.Getpid())
	return all, err
}

func (l *loop) noteTLS(s tls.ConnectionState) {
	if l.result.TLSInfo == nil {
		l.result.TLSInfo = &TLSInfo{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite),
			Curve: s.CurveID.String(), ALPN: s.NegotiatedProtocol}
	}
	l.result.TLSInfo.Handshakes++
	if s.DidResume {
		l.result.TLSInfo.Resumed++
	}
}
