package limit

import "sync/atomic"

// Step is how hard pressed the process is for memory or descriptors. Each step includes those before it.
type Step uint8

// The steps.
const (
	Normal           Step = iota
	ShortKeepAlive        // idle sessions are closed sooner
	NoKeepAlive           // sessions end after their exchange
	NoNewStreams          // h2 and h3 refuse further streams
	NoNewConnections      // accepting stops
	Steps                 // how many there are
)

var stepWords = [Steps]string{"normal", "short-keep-alive", "no-keep-alive", "no-new-streams", "no-new-connections"}

// String is the word in logs.
func (s Step) String() string { return stepWords[s] }

// A step begins when the scarcest resource is used to this share, in thousandths, and ends when it is used to less than
// stepMargin below: the measure taken at a step frees some of the resource, which must not end the step at once.
var stepShare = [Steps]int64{0, 700, 800, 900, 970}

const stepMargin = 50

// Gauge is how much of a resource is used.
type Gauge struct{ Used, Max int64 } // Max 0: there is no end to it

// share is in thousandths.
func (g Gauge) share() int64 {
	if g.Max <= 0 || g.Used <= 0 {
		return 0
	}
	if g.Used >= g.Max {
		return 1000
	}
	return int64(float64(g.Used) / float64(g.Max) * 1000)
}

// Pressure is the process's step, which workers read and one goroutine computes.
type Pressure struct {
	_    [sharedLineBytes]byte
	step atomic.Uint32
	_    [sharedLineBytes]byte
}

// Step is the step now. Any goroutine may call it; it costs one load of a line that is hardly ever written.
func (p *Pressure) Step() Step { return Step(p.step.Load()) }

// Update computes the step anew from the scarcest of the resources. Only one goroutine may call it.
func (p *Pressure) Update(gauges ...Gauge) Step {
	var share int64
	for _, g := range gauges {
		share = max(share, g.share())
	}
	old, step := p.Step(), Normal
	for s := ShortKeepAlive; s < Steps; s++ {
		enter := stepShare[s]
		if s <= old {
			enter -= stepMargin
		}
		if share >= enter {
			step = s
		}
	}
	if step != old {
		p.step.Store(uint32(step))
	}
	return step
}
