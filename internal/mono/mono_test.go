package mono

import (
	"testing"
	"time"
)

func TestArithmetic(t *testing.T) {
	a := Time(5_000)
	b := a.Add(3 * time.Microsecond)
	if b != 8_000 || b.Sub(a) != 3*time.Microsecond || a.Sub(b) != -3*time.Microsecond {
		t.Errorf("5000 ns and 3 µs are %d ns; the difference is %v", b, b.Sub(a))
	}
	if !a.Before(b) || a.After(b) || !b.After(a) || a.Before(a) || a.After(a) {
		t.Error("the order of times is wrong")
	}
	if a.IsZero() || !Time(0).IsZero() {
		t.Error("only the zero Time is not set")
	}
	if !b.Add(100 * 365 * 24 * time.Hour).Before(Never) {
		t.Error("a century from now is not before Never")
	}
}
