package h2

import (
	"time"

	"weir/internal/mono"
)

// abuse names something that a peer may do now and then for a good reason, but not often for one.
type abuse uint8

const (
	abuseReset    abuse = iota // streams reset before they were answered (CVE-2023-44487)
	abuseMadeUs                // resets that the peer's violations made us send (CVE-2025-8671)
	abuseRefused               // streams opened above the limit
	abuseSettings              // SETTINGS (CVE-2019-9515)
	abusePing                  // PING (CVE-2019-9512)
	abusePriority              // PRIORITY and PRIORITY_UPDATE (CVE-2019-9513)
	abuseWindow                // WINDOW_UPDATE; small increments count more (CVE-2019-9511)
	abuseHollow                // DATA with no or next to no data (CVE-2019-9518)
	abuseIgnored               // frames of unknown types, and frames for streams that are gone (CVE-2019-9514)
	abuseInterim               // interim responses; a few with each response are free
	abuseCount
)

// Limits are the sizes of the budgets of a connection: how often each thing may happen at once. A spent budget is whole
// again after Period, steadily, and sooner with useful work, so that honest connections never meet it however long they
// live.
type Limits struct {
	Resets       int32
	MadeUs       int32
	Refused      int32
	Settings     int32
	Pings        int32
	Priorities   int32
	WindowUpdate int32
	Hollow       int32
	Ignored      int32
	Interim      int32
	Period       time.Duration

	BlockFrames  int32 // frames of one field block (CVE-2024-27316)
	PendingBytes int32 // replies that wait to be sent
}

// DefaultLimits returns budgets that TestFloods spends at once, and the traffic of TestHonestTrafficMeetsNoBudget never.
func DefaultLimits() Limits {
	return Limits{
		Resets:       200, // a page with that many requests under way may be left
		MadeUs:       100,
		Refused:      1000, // a client may open as many before it has seen our SETTINGS
		Settings:     32,
		Pings:        100,
		Priorities:   300, // old browsers build a tree first
		WindowUpdate: 1000,
		Hollow:       250,
		Ignored:      2000, // DATA under way on streams that we have reset
		Interim:      100,
		Period:       30 * time.Second,
		BlockFrames:  64,
		PendingBytes: 8 << 10,
	}
}

func (l *Limits) check() {
	if l.Period <= 0 || l.BlockFrames < 1 || l.PendingBytes < 1 {
		panic("h2: limits without a size")
	}
}

var abuseErrors = [abuseCount]*Error{
	abuseReset:    connError(EnhanceYourCalm, "too many streams reset"),
	abuseMadeUs:   connError(EnhanceYourCalm, "too many stream errors"),
	abuseRefused:  connError(EnhanceYourCalm, "too many streams above the limit"),
	abuseSettings: connError(EnhanceYourCalm, "too many SETTINGS"),
	abusePing:     connError(EnhanceYourCalm, "too many PINGs"),
	abusePriority: connError(EnhanceYourCalm, "too many priority changes"),
	abuseWindow:   connError(EnhanceYourCalm, "too many window updates"),
	abuseHollow:   connError(EnhanceYourCalm, "too much DATA without data"),
	abuseIgnored:  connError(EnhanceYourCalm, "too many frames to ignore"),
	abuseInterim:  connError(EnhanceYourCalm, "too many interim responses"),
}

// meter is one budget: what was used of it, beside the most that may be.
type meter struct{ used, max int32 }

// budget is all the budgets of a connection. What was used is written off lazily, when a meter runs over.
type budget struct {
	meters  [abuseCount]meter
	settled mono.Time // until when time has been written off
}

func newBudget(l *Limits) (b budget) {
	for a, n := range [abuseCount]int32{
		abuseReset: l.Resets, abuseMadeUs: l.MadeUs, abuseRefused: l.Refused, abuseSettings: l.Settings,
		abusePing: l.Pings, abusePriority: l.Priorities, abuseWindow: l.WindowUpdate, abuseHollow: l.Hollow,
		abuseIgnored: l.Ignored, abuseInterim: l.Interim,
	} {
		b.meters[a].max = n
	}
	return b
}

// charge uses n of a budget; the error says that it is spent.
func (c *Conn) charge(a abuse, n int32) *Error {
	m := &c.budget.meters[a]
	if m.used += n; m.used <= m.max {
		return nil
	}
	c.budget.settle(c.now, c.cfg.Limits.Period)
	if m.used <= m.max {
		return nil
	}
	return abuseErrors[a]
}

// settle writes off what time has earned since the last settlement. It runs only when a meter is over its maximum, and
// either saves the connection or ends it, so that rounding cannot be exploited.
func (b *budget) settle(now mono.Time, period time.Duration) {
	elapsed := now.Sub(b.settled)
	b.settled = now
	for i := range b.meters {
		m := &b.meters[i]
		if elapsed >= period {
			m.used = 0
			continue
		}
		m.used = max(0, m.used-int32(int64(m.max)*int64(elapsed/time.Microsecond)/int64(period/time.Microsecond)))
	}
}

// earn gives n back for useful work.
func (b *budget) earn(a abuse, n int32) {
	if m := &b.meters[a]; m.used > 0 {
		m.used = max(0, m.used-n)
	}
}

// onHeadDone: a request or response came in whole.
func (b *budget) onHeadDone() {
	b.earn(abusePriority, 2)
	b.earn(abuseIgnored, 2)
	b.earn(abuseWindow, 2)
	b.earn(abuseInterim, 8)
	b.earn(abusePing, 1)
}

// onDataSent: a DATA frame with n bytes in it went out. Receivers may answer each with an update for the stream and one for
// the connection, and more of them if they read it in pieces; gRPC measures the path with a PING. Updates of few bytes
// answer a frame of few bytes, unless it was a window that made it so small (CVE-2019-9511). What large frames earn is
// more than the remainders of windows cost that come back between them.
func (b *budget) onDataSent(n int, shut bool) {
	updates := 2 + int32(n)/updateBytes
	if n < tinyIncrement && !shut {
		updates *= tinyCost
	}
	b.earn(abuseWindow, updates)
	b.earn(abusePing, 1)
}

// An update of less than tinyIncrement bytes is what no receiver that means well sends often: it costs as much as tinyCost
// others.
const tinyIncrement, tinyCost = 64, 8

// updateBytes is the piece that a receiver may read at a time and open two windows for: half of it counts as one.
const updateBytes = 512

// onStreamDone: a stream was carried to its end by both sides.
func (b *budget) onStreamDone() {
	b.earn(abuseReset, 1)
	b.earn(abuseRefused, 1)
}
