package netio

import (
	"time"

	"weir/internal/mono"
)

// origin is where mono.Time counts from. It lies an hour before the start, so that no reading is the zero Time, which
// means "not set", nor becomes negative when a reasonable duration is subtracted.
var origin = time.Now().Add(-time.Hour)

// Now reads the monotonic clock (CLOCK_MONOTONIC, through the vDSO). All workers and goroutines share its origin. A worker
// asks its Kernel instead, so that it can be simulated.
func Now() mono.Time { return mono.Time(time.Since(origin)) }
