package pool

import "weir/internal/stats"

// Cause says why a connection was closed. The words stand in package stats, where closes are counted.
type Cause = stats.Cause

// The causes that the pool itself gives. The engine has further ones.
const (
	IdlePurge  = stats.CauseIdlePurge  // not needed during a period of pool-purge-delay
	PoolMax    = stats.CausePoolMax    // pool-max-conn idle connections are kept already
	MaxReuse   = stats.CauseMaxReuse   // max-reuse exchanges were carried
	MaxAge     = stats.CauseMaxAge     // pool-max-age has passed
	ServerHint = stats.CauseServerHint // the server's Keep-Alive field said so
	Drain      = stats.CauseDrain      // the server is going away
	Evicted    = stats.CauseEvicted    // it gave way to a connection that was needed more
)
