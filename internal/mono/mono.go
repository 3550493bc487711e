// Package mono is the clock value that the data path computes with: eight bytes, monotonic, comparable, free to copy.
//
// The package holds no clock. A worker reads its kernel's clock once a turn and hands the value down as an argument, so
// that codecs, pools and timers can be driven by a simulated clock.
package mono

import "time"

// Time is nanoseconds since an arbitrary origin that is the same for the whole process. Zero means "not set".
type Time int64

// Never is later than every Time that a clock returns. Nothing may be added to it: the sum would be in the past.
const Never Time = 1<<63 - 1

// Add returns t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t > u }

// IsZero reports whether t was never set.
func (t Time) IsZero() bool { return t == 0 }
