package h3

import (
	"sync"
	"time"
)

// abuse names something that a client may do now and then for a good reason, but not often for one.
type abuse uint8

const (
	abuseReset  abuse = iota // requests taken back before they were answered (the rapid reset of CVE-2023-44487)
	abuseMadeUs              // streams that its mistakes made us reset
	abuseStream              // unidirectional streams of no known type
	abuseCount
)

// budgetPeriod is how long a spent budget takes to be whole again.
const budgetPeriod = 30 * time.Second

// abuseMax is how often each may happen at once: well above what browsers do.
var abuseMax = [abuseCount]int{
	abuseReset:  200, // a page with that many requests under way may be left
	abuseMadeUs: 100,
	abuseStream: 100,
}

var abuseErrors = [abuseCount]*Error{abuseReset: errResets, abuseMadeUs: errMadeUs, abuseStream: errControl}

// budget is what a connection may still do of each. A response that was sent whole earns one of each back, so that honest
// clients never meet it however long they stay.
type budget struct {
	mu      sync.Mutex
	used    [abuseCount]int
	settled time.Time // until when time has been written off
}

// charge uses one of a budget; the error says that it is spent.
func (b *budget) charge(a abuse, now time.Time) *Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used[a]++; b.used[a] <= abuseMax[a] {
		return nil
	}
	b.settle(now)
	if b.used[a] <= abuseMax[a] {
		return nil
	}
	return abuseErrors[a]
}

// settle writes off what time has earned since the last settlement.
func (b *budget) settle(now time.Time) {
	part := min(float64(now.Sub(b.settled))/float64(budgetPeriod), 1)
	for a := range b.used {
		b.used[a] = max(b.used[a]-int(part*float64(abuseMax[a])), 0)
	}
	b.settled = now
}

// earn is called for every response that was sent whole.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a := range b.used {
		b.used[a] = max(b.used[a]-1, 0)
	}
}
