package scenario

import (
	"math"
	"testing"
	"time"

	"weir/bench/contender"
	"weir/bench/load"
	"weir/bench/report"
)

func TestCatalogueIsSound(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Catalogue() {
		if seen[s.Name] || s.Name == "" || s.Title == "" || s.About == "" || s.Group == "" {
			t.Errorf("%q is described badly or twice", s.Name)
		}
		seen[s.Name] = true
		for _, key := range s.columns() {
			if !report.Known(key) {
				t.Errorf("%s shows %q, which is no metric", s.Name, key)
			}
		}
		if secure := s.job.TLS != load.Clear; secure != s.setup.TLS() {
			t.Errorf("%s: clients speak TLS %v, the front %v", s.Name, secure, s.setup.TLS())
		}
		if s.setup.Conns < s.job.Conns || s.setup.Reuse == "" || s.setup.Back == "" {
			t.Errorf("%s: setup %+v", s.Name, s.setup)
		}
	}
}

func TestSelect(t *testing.T) {
	all, err := Select(nil, false)
	if err != nil || len(all) != len(Catalogue()) {
		t.Errorf("%d of %d scenarios, %v", len(all), len(Catalogue()), err)
	}
	quick, err := Select(nil, true)
	if err != nil || len(quick) < 5 || len(quick) >= len(all) {
		t.Errorf("%d quick scenarios, %v", len(quick), err)
	}
	one, err := Select([]string{"idle"}, true)
	if err != nil || len(one) != 1 || one[0].Name != "idle" {
		t.Errorf("picked %v, %v", one, err)
	}
	if _, err := Select([]string{"idle", "nothing"}, false); err == nil {
		t.Error("picked a scenario that is not there")
	}
}

func TestReuseHasAllVariants(t *testing.T) {
	picked, _ := Select([]string{"reuse"}, false)
	seen := map[string]bool{}
	for _, v := range picked[0].variants() {
		seen[v.name] = true
		if v.setup.Reuse == "" || v.setup.Front != contender.FrontH1 {
			t.Errorf("%+v", v)
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d variants: %v", len(seen), seen)
	}
}

// bench is one with the contenders a typical machine has, which need not be installed here.
func bench(t *testing.T, opt Options) *Bench {
	t.Helper()
	b := &Bench{opt: opt, paced: opt.Rounds, scale: 1, slip: 1, files: 1 << 20}
	for range 4 { // The relay is always there, and lacks the least where timing matters.
		bin, err := contender.Find(contender.Spec{Name: contender.Floor, Kind: contender.Floor})
		if err != nil {
			t.Fatal(err)
		}
		b.binaries = append(b.binaries, bin)
	}
	return b
}

func TestPaceKeepsTheBudget(t *testing.T) {
	all := Catalogue()
	opt := Options{Scenarios: all, Rounds: 3, Closed: time.Second, Open: time.Second, Warmup: 200 * time.Millisecond}
	b := bench(t, opt)
	b.deadline = time.Now().Add(time.Hour)
	if b.pace(all); b.scale != 1 {
		t.Errorf("an hour is enough, but the scale is %g", b.scale)
	}
	for _, c := range []struct {
		budget time.Duration
		rounds int
	}{{4 * time.Minute, 3}, {100 * time.Second, 1}} {
		b.deadline = time.Now().Add(c.budget)
		b.pace(all)
		fixed, elastic := b.estimate(all)
		planned := fixed + time.Duration(float64(elastic)*b.scale)
		if b.scale >= 1 || b.scale < scaleMin || b.paced > c.rounds || planned > c.budget {
			t.Errorf("in %v: scale %g, %d rounds, %v planned", c.budget, b.scale, b.paced, planned)
		}
	}
	b.deadline = time.Now()
	if b.pace(all); b.scale != scaleMin || b.paced != 1 || b.scaled(time.Millisecond) < 100*time.Millisecond {
		t.Errorf("without time: scale %g, %d rounds", b.scale, b.paced)
	}
}

// What takes longer than it should is planned to go on doing so.
func TestPaceLearns(t *testing.T) {
	all := Catalogue()
	b := bench(t, Options{Scenarios: all, Rounds: 3, Closed: time.Second, Open: time.Second, IdleConns: 1000})
	fixed, elastic := b.estimate(all[:1])
	b.learn(all[0], 2*fixed+elastic)
	if b.slip < 1.99 || b.slip > 2.01 {
		t.Errorf("twice as long as estimated: slip %g", b.slip)
	}
	b.learn(all[0], 0)
	if b.slip != 1 {
		t.Errorf("as long as estimated on the whole: slip %g", b.slip)
	}
}

func TestRatesAreTheSameForAll(t *testing.T) {
	one := func(kind string, capacity float64) *cell {
		return &cell{bin: &contender.Binary{Spec: contender.Spec{Kind: kind}}, row: &report.Row{}, capacity: capacity}
	}
	broken := one(contender.Nginx, 10)
	broken.row.Fail("wrong answers")
	got := rates([]*cell{one(contender.Weir, 1000), one(contender.HAProxy, 800), broken, one(contender.Caddy, 100),
		one(contender.Caddy, 5000), one(contender.Floor, 0)})
	for i, want := range []float64{560, 560, 0, 70, 560, 0} {
		if math.Abs(got[i]-want) > 1e-9 {
			t.Errorf("number %d is offered %g, not %g", i, got[i], want)
		}
	}
}

func TestIdleConnsFitTheFileLimit(t *testing.T) {
	picked, _ := Select([]string{"idle", "idle-tls"}, false)
	b := bench(t, Options{IdleConns: 100000})
	for _, c := range []struct {
		files          uint64
		plain, secured int
	}{
		{1 << 20, 100000, 5000},
		{20000, 8750, 5000},
		{1024, 16, 16},
	} {
		b.files = c.files
		if plain, secured := b.idleConns(picked[0]), b.idleConns(picked[1]); plain != c.plain || secured != c.secured {
			t.Errorf("with %d descriptors: %d plain, %d TLS", c.files, plain, secured)
		}
	}
}
