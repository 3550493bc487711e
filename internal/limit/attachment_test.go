package limit

import (
	"testing"
	"time"

	"weir/internal/mono"
)

func TestAxisWords(t *testing.T) {
	want := []string{"max-conn", "max-conn-rate", "max-sess-rate", "rate-limit-sessions", "max-ssl-conn", "max-ssl-rate", "max-buffer-size", "max-retries"}
	for a := range Axes {
		if a.String() != want[a] {
			t.Errorf("axis %d is %q, want %q", a, a, want[a])
		}
	}
	for l, word := range []string{"global", "frontend", "backend"} {
		if Level(l).String() != word {
			t.Errorf("level %d is %q", l, Level(l))
		}
	}
}

func values(base int) (v Values) {
	for axis := range Axes {
		v.Axis[axis] = base + int(axis)
	}
	v.QueueDepth, v.QueueTimeout = base+100, time.Duration(base)*time.Second
	return v
}

func rowsOf(t *testing.T, table *Table, now mono.Time) map[string]Row {
	t.Helper()
	rows := map[string]Row{}
	for _, r := range table.Rows(now, nil) {
		rows[r.Level.String()+"/"+r.Name+"/"+r.Axis.String()] = r
	}
	return rows
}

// TestAttachmentsCountOnTheirOwn: one profile at three places; what one uses, hits or reaches shows at that one only, and on
// that axis only.
func TestAttachmentsCountOnTheirOwn(t *testing.T) {
	table, now := NewTable(1), mono.Time(time.Hour)
	table.Attach(Global, "", "edge", values(1))
	a := table.Attach(Frontend, "web", "edge", values(1))
	table.Attach(Backend, "web", "edge", values(1))
	use := map[Axis]func() bool{
		MaxConn: a.Conn.TryAcquire, MaxSSLConn: a.SSLConn.TryAcquire,
		MaxBufferSize: func() bool { a.Buffer.Note(7); a.Buffer.Hit(); return true },
		MaxRetries:    func() bool { a.Retries.Note(8); a.Retries.Hit(); return true },
	}
	for _, axis := range []Axis{MaxConnRate, MaxSessRate, RateLimitSessions, MaxSSLRate} {
		use[axis] = func() bool { ok, _ := a.Rate(axis).Take(now); return ok }
	}
	for axis := range Axes {
		before := rowsOf(t, table, now)
		for use[axis]() {
			if now := rowsOf(t, table, now); now["frontend/web/"+axis.String()].Hits > 0 {
				break
			}
		}
		after := rowsOf(t, table, now)
		if len(after) != 3*int(Axes) {
			t.Fatalf("%d rows", len(after))
		}
		for key, r := range after {
			own := key == "frontend/web/"+axis.String()
			if own && (r.Hits != 1 || r.Max != int64(1+axis) || r.Profile != "edge") {
				t.Errorf("%s: %+v", key, r)
			}
			if !own && r != before[key] {
				t.Errorf("%s changed %s from %+v to %+v", axis, key, before[key], r)
			}
		}
	}
	rows := rowsOf(t, table, now)
	for key, want := range map[string]int64{"max-conn": 1, "max-ssl-conn": 5, "max-buffer-size": 7, "max-retries": 8} {
		if got := rows["frontend/web/"+key].Current; got != want {
			t.Errorf("%s: current %d, want %d", key, got, want)
		}
	}
}

// TestApplyKeepsCounts: a reload and a command change the limits under the counts.
func TestApplyKeepsCounts(t *testing.T) {
	table := NewTable(1)
	a := table.Attach(Frontend, "web", "edge", values(5))
	other := table.Attach(Backend, "api", "other", values(5))
	for range 5 {
		a.Conn.TryAcquire()
	}
	a.Conn.TryAcquire()
	if b := table.Attach(Frontend, "web", "edge", values(3)); b != a {
		t.Fatal("another attachment after a reload")
	}
	if a.Conn.Current() != 5 || a.Conn.Hits() != 1 || a.Conn.Max() != 3 {
		t.Errorf("%d of %d, %d hits; want 5 of 3, 1 hit", a.Conn.Current(), a.Conn.Max(), a.Conn.Hits())
	}
	a.Conn.ReleaseN(2)
	if a.Conn.TryAcquire() {
		t.Error("a token although 3 of 3 are out")
	}
	if n := table.Change("edge", func(v *Values) { v.Axis[MaxConn], v.QueueDepth, v.QueueTimeout = 4, 9, time.Minute }); n != 1 {
		t.Errorf("changed %d places, want 1", n)
	}
	if !a.Conn.TryAcquire() || a.Places.Max() != 9 || a.QueueTimeout() != time.Minute || a.SSLConn.Max() != 7 {
		t.Errorf("after a command: conn %d of %d, %d places, %v, ssl %d", a.Conn.Current(), a.Conn.Max(), a.Places.Max(), a.QueueTimeout(), a.SSLConn.Max())
	}
	if other.Conn.Max() != 5 {
		t.Error("the command changed another profile")
	}
}

// TestDetachedComesBack: a place that is taken away and comes back while connections are open counts those.
func TestDetachedComesBack(t *testing.T) {
	table := NewTable(1)
	a := table.Attach(Frontend, "web", "edge", values(1))
	a.Conn.TryAcquire()
	table.Detach(a)
	if n := len(table.Rows(1, nil)); n != 0 {
		t.Errorf("%d rows of a detached place", n)
	}
	if table.Change("edge", func(*Values) {}) != 0 {
		t.Error("changed a detached place")
	}
	if b := table.Attach(Frontend, "web", "edge", values(1)); b != a || b.Conn.TryAcquire() {
		t.Error("the limit is exceeded by connections from before")
	}
	a.Conn.Release()
	table.Detach(a)
	if b := table.Attach(Frontend, "web", "edge", values(1)); b == a {
		t.Error("an unused attachment was kept")
	}
}

func TestRateIsShownPerSecond(t *testing.T) {
	table, now := NewTable(1), mono.Time(time.Hour)
	a := table.Attach(Global, "", "", Values{})
	current := func() int64 { return rowsOf(t, table, now)["global//max-conn-rate"].Current }
	current()
	for range 30 {
		a.ConnRate.Take(now)
	}
	now = now.Add(2 * time.Second)
	if got := current(); got != 15 {
		t.Errorf("30 events in 2 s are shown as %d per second", got)
	}
	a.ConnRate.Take(now)
	now = now.Add(time.Second / 2)
	if got := current(); got != 15 {
		t.Errorf("a look after half a second changed the figure to %d", got)
	}
}

// TestForgetReusesNames: servers that come and go do not use names up, and a name in use is not given twice.
func TestForgetReusesNames(t *testing.T) {
	table := NewTable(1)
	q := table.NewQueue(NewCount(0), func(int) {})
	keep := NewCount(1)
	q.Add(keep)
	for range 100 {
		c := NewCount(1)
		q.Add(c)
		c.TryAcquire()
		mustPanic(t, "forgotten with a queue", func() { table.Forget(c) })
		q.Remove(c)
		mustPanic(t, "forgotten with a token out", func() { table.Forget(c) })
		if c.id.Load() == keep.id.Load() || table.count(c.id.Load()) != c {
			t.Fatal("two counts with one name")
		}
		c.Release()
		table.Forget(c)
	}
	if n := len(*table.counts.Load()); n != 3 {
		t.Errorf("%d names for two counts", n-1)
	}
}

func TestPressure(t *testing.T) {
	var p Pressure
	for _, step := range []struct {
		used int64
		want Step
	}{
		{699, Normal}, {700, ShortKeepAlive}, {651, ShortKeepAlive}, {649, Normal}, {899, NoKeepAlive}, {1000, NoNewConnections},
		{921, NoNewConnections}, {919, NoNewStreams}, {851, NoNewStreams}, {849, NoKeepAlive}, {751, NoKeepAlive},
		{749, ShortKeepAlive}, {2000, NoNewConnections}, {0, Normal}, {-5, Normal},
	} {
		if got := p.Update(Gauge{Used: step.used, Max: 1000}, Gauge{Used: 1 << 40}, Gauge{Used: 1, Max: 10}); got != step.want || p.Step() != got {
			t.Errorf("at %d of 1000: %s, want %s", step.used, got, step.want)
		}
	}
	if p.Update(Gauge{1, 10}, Gauge{95, 100}) != NoNewStreams {
		t.Error("the scarcest resource does not decide")
	}
}

func TestCarve(t *testing.T) {
	for _, test := range []struct{ limit, reserved, clients, servers, wantClient, wantServer int }{
		{10000, 100, 1000, 500, 1000, 8900},   // both fit
		{1124, 100, 20000, 0, 768, 256},       // more clients than descriptors: servers keep a quarter
		{1124, 100, 20000, 50, 974, 50},       // but no more than they ask
		{10100, 100, 0, 0, 5000, 5000},        // no numbers
		{10100, 100, 15000, 5000, 7500, 2500}, // in proportion
		{10100, 100, 6000, 9000, 4000, 6000},  // in proportion
		{50, 100, 0, 0, 1, 1},                 // hopeless, but never 0, which would mean no maximum
		{1_000_100, 100, 999_999, 5000, 995000, 5000},
	} {
		f := NewFDs()
		f.Carve(test.limit, test.reserved, test.clients, test.servers)
		c, s := f.Client.Max(), f.Server.Max()
		if c != int64(test.wantClient) || s != int64(test.wantServer) {
			t.Errorf("%+v: got %d and %d", test, c, s)
		}
	}
	for limit := range 300 {
		for _, ask := range [][2]int{{0, 0}, {1, 1}, {1000, 1}, {1, 1000}, {70, 70}, {0, 5}} {
			f := NewFDs()
			f.Carve(limit, 10, ask[0], ask[1])
			if c, s := f.Client.Max(), f.Server.Max(); c < 1 || s < 1 || c+s > int64(max(limit-10, 2)) {
				t.Fatalf("limit %d, asked %v: %d and %d", limit, ask, c, s)
			}
		}
	}
}
