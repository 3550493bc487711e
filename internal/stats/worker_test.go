package stats

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

func TestHandlesAreStable(t *testing.T) {
	w := NewWorker(3)
	f, b, s := w.Frontend("web"), w.Backend("api"), w.Server("api", "s1")
	r := f.Route(b)
	for i := range 100 {
		w.Frontend(strings.Repeat("f", i+1))
		w.Server(strings.Repeat("b", i+1), "s1")
		w.Server("api", strings.Repeat("s", i+1))
	}
	if w.Frontend("web") != f || w.Backend("api") != b || w.Server("api", "s1") != s || f.Route(b) != r {
		t.Fatal("the same name gave other cells after more were registered")
	}
	if none := f.Route(nil); none == r || f.Route(nil) != none {
		t.Fatal("requests without a backend need cells of their own")
	}
}

func TestCellsFillWholeCacheLines(t *testing.T) {
	// Go's size classes that are multiples of 64 start on cache lines, so two workers' cells never share one.
	if n := unsafe.Sizeof(Route{}); n%64 != 0 {
		t.Errorf("a Route takes %d bytes, no multiple of 64", n)
	}
}

func TestSnapshotIsACopy(t *testing.T) {
	w := NewWorker(0)
	f, s := w.Frontend("web"), w.Server("api", "s1")
	f.Conns[H1] = 5
	s.Used = 7
	var c Cells
	w.Snapshot(&c)
	f.Conns[H1], s.Used = 50, 70
	got := Merge([]*Cells{&c}, nil)
	if n := got.Frontend("web").Connections["h1"]; n != 5 {
		t.Errorf("connections %d, want the 5 of the moment of the copy", n)
	}
	if n := got.Backend("api").Server("s1").Used; n != 7 {
		t.Errorf("used %d, want the 7 of the moment of the copy", n)
	}
	if c.frontends[0].routes != nil || c.backends[0].servers != nil || c.backends[0].serverByName != nil {
		t.Error("the copy leads back to live cells")
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	w := NewWorker(0)
	b := w.Backend("api")
	r, s := w.Frontend("web").Route(b), w.Server("api", "s1")
	var c Cells
	w.Snapshot(&c)
	counted := testing.AllocsPerRun(1000, func() {
		r.Count(200, H2)
		s.Opened[WhyDemand]++
		s.Closed[CauseStaleOnUse]++
		b.RequestDuration.Observe(12345)
		b.Retries[3][OutcomeSuccess]++
		w.Fail(Failure{Frontend: "web", Reason: "stale-connection", Status: 502})
	})
	if counted != 0 {
		t.Errorf("%v allocations per exchange counted", counted)
	}
	for range failuresMax {
		w.Snapshot(&c)
	}
	if n := testing.AllocsPerRun(100, func() { w.Snapshot(&c) }); n != 0 {
		t.Errorf("%v allocations per snapshot into memory used before", n)
	}
}

func TestFailuresKeepTheLast(t *testing.T) {
	w := NewWorker(2)
	for i := range int64(failuresMax + 10) {
		w.Fail(Failure{UnixNano: i})
	}
	var c Cells
	w.Snapshot(&c)
	got := Merge([]*Cells{&c}, nil).Failures
	if len(got) != failuresMax || got[0].UnixNano != 10 || got[failuresMax-1].UnixNano != failuresMax+9 {
		t.Fatalf("%d failures from %d to %d, want the last %d", len(got), got[0].UnixNano, got[len(got)-1].UnixNano, failuresMax)
	}
	if got[0].Worker != 2 {
		t.Errorf("failure of worker %d, want 2", got[0].Worker)
	}
}

// twoWorkers counts a little of everything on two workers.
func twoWorkers() []*Cells {
	var cells []*Cells
	for id := range 2 {
		w := NewWorker(id)
		n := uint64(id + 1)
		f, b, s := w.Frontend("web"), w.Backend("api"), w.Server("api", "s1")
		f.Conns[H2], f.ConnsTotal[H2] = int64(n), 10*n
		f.Handshakes[H2] = [2]uint64{n, 2 * n}
		f.HandshakeFailures[H1] = n
		f.Route(b).Requests[Class2xx][H1] = 100 * n
		f.Route(nil).Count(404, H1)
		b.QueueLength, b.QueueRejected[QueueFull] = int64(n), n
		b.QueueWait.Observe(1000)
		b.Retries[1][OutcomeSuccess] = n
		s.Used, s.IdleSafe, s.IdleFresh, s.Private, s.Need, s.Limit = 1, int64(n), 1, 2, 3, 9
		s.Opened[WhyDemand], s.Opened[WhyWarm], s.Closed[CauseGoaway] = 4, n, n
		s.Reused, s.TakenOver, s.GivenAway = 5, n, 1
		s.Errors[ErrorConnect] = n
		w.Answers[0] = n
		w.Loop.Conns = 3
		c := new(Cells)
		w.Snapshot(c)
		cells = append(cells, c)
	}
	return cells
}

func TestMergeAddsWorkersUp(t *testing.T) {
	cells := twoWorkers()
	cells[0], cells[1] = cells[1], cells[0] // messages come back in any order
	s := Merge(cells, []string{"no-server", "stale-connection"})

	f := s.Frontend("web")
	if f.Connections["h2"] != 3 || f.ConnectionsTotal["h2"] != 30 || f.Handshakes["h2"] != 9 ||
		f.HandshakesResumed["h2"] != 6 || f.HandshakeFailures["h1"] != 3 || f.Connections["h3"] != 0 {
		t.Errorf("frontend: %+v", f)
	}
	want := []RequestRow{{"api", "2xx", "h1", 300}, {"", "2xx", "h1", 0}, {"", "4xx", "h1", 2}}
	if !reflect.DeepEqual(f.Requests, want) {
		t.Errorf("requests %v, want %v", f.Requests, want)
	}
	b := s.Backend("api")
	if b.QueueLength != 3 || b.QueueRejected["queue-full"] != 3 || b.QueueWait.Count() != 2 ||
		!reflect.DeepEqual(b.Retries, []RetryRow{{"stale-connection", "success", 3}}) {
		t.Errorf("backend: %+v", b)
	}
	v := b.Server("s1")
	pool := Pool{State: "ready", Used: 2, IdleSafe: 3, IdleFresh: 2, Private: 4, Need: 6, Limit: 9,
		Opened: 11, Reused: 10, TakenOver: 3, Closed: 3, GivenAway: 2}
	if v.Pool != pool {
		t.Errorf("pool %+v, want %+v", v.Pool, pool)
	}
	if !reflect.DeepEqual(v.Idle, []int64{2, 3}) || v.Shards[1].IdleSafe != 2 {
		t.Errorf("idle %v, shards %+v", v.Idle, v.Shards)
	}
	if v.OpenedWhy["demand"] != 8 || v.OpenedWhy["warm"] != 3 || v.ClosedCause["goaway"] != 3 || v.Errors["connect"] != 3 {
		t.Errorf("opened %v closed %v errors %v", v.OpenedWhy, v.ClosedCause, v.Errors)
	}
	if s.Answers["no-server"] != 3 || len(s.Answers) != 2 {
		t.Errorf("answers %v", s.Answers)
	}
	if len(s.Workers) != 2 || s.Workers[0].ID != 0 || s.Workers[1].Connections != 3 {
		t.Errorf("workers %+v", s.Workers)
	}
}

func TestMergeShowsTheLeastUsefulState(t *testing.T) {
	var cells []*Cells
	for id, state := range []ServerState{StateReady, StateDrain, StateBackoff} {
		w := NewWorker(id)
		w.Server("api", "s1").State = state
		c := new(Cells)
		w.Snapshot(c)
		cells = append(cells, c)
	}
	v := Merge(cells, nil).Backend("api").Server("s1")
	if v.State != "drain" || v.Shards[2].State != "backoff" {
		t.Errorf("state %s, shards %+v", v.State, v.Shards)
	}
}

func TestMergeWithAWorkerThatKnowsLess(t *testing.T) {
	a, b := NewWorker(0), NewWorker(1)
	a.Server("api", "s1").IdleSafe = 4
	var ca, cb Cells
	a.Snapshot(&ca)
	b.Snapshot(&cb)
	v := Merge([]*Cells{&ca, &cb}, nil).Backend("api").Server("s1")
	if !reflect.DeepEqual(v.Idle, []int64{4, 0}) || v.Shards[1].State != "ready" {
		t.Errorf("idle %v, shards %+v", v.Idle, v.Shards)
	}
}

func TestSnapshotSurvivesJSON(t *testing.T) {
	s := Merge(twoWorkers(), []string{"no-server", "stale-connection"})
	s.Limits = []LimitRow{{Level: "backend", Name: "api", Profile: "edge", Axis: "max-conn", Current: 3, Max: 9, Hits: 1}}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(back); string(again) != string(text) {
		t.Errorf("came back different:\n%s\n%s", text, again)
	}
}

func TestWordsAreTheManuals(t *testing.T) {
	// The close causes of the manual, section 5, in its order.
	const manual = "idle-purge pool-max max-reuse max-age server-hint peer-closed peer-reset goaway protocol-error " +
		"timeout ping-failed stale-on-use drain session-end evicted"
	var words []string
	for c := range Causes {
		words = append(words, c.String())
	}
	if got := strings.Join(words, " "); got != manual {
		t.Errorf("causes are %q, want %q", got, manual)
	}
	words = nil
	for w := range Whys {
		words = append(words, w.String())
	}
	if got := strings.Join(words, " "); got != "demand warm retry private" {
		t.Errorf("whys are %q", got)
	}
	for status, want := range map[int]string{0: "none", 99: "none", 101: "1xx", 204: "2xx", 304: "3xx", 499: "4xx", 503: "5xx", 600: "none"} {
		if got := ClassOf(status).String(); got != want {
			t.Errorf("class of %d is %s, want %s", status, got, want)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	w := NewWorker(0)
	for i := range 100 {
		name := strings.Repeat("b", i+1)
		w.Frontend("web").Route(w.Backend(name))
		w.Server(name, "s1")
		w.Server(name, "s2")
	}
	var c Cells
	b.ReportAllocs()
	for b.Loop() {
		w.Snapshot(&c)
	}
}
