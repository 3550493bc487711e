package engine

import (
	"testing"
	"time"
)

func TestGRPCTimeout(t *testing.T) {
	for v, want := range map[string]time.Duration{
		"1n": 1, "100m": 100 * time.Millisecond, "20S": 20 * time.Second, "99999999u": 99999999 * time.Microsecond, "3H": 3 * time.Hour, "0M": 0,
		"": -1, "1": -1, "m": -1, "-1m": -1, "1.5S": -1, "123456789S": -1, "1x": -1, "99999999H": -1,
	} {
		if d, ok := grpcTimeout([]byte(v)); ok != (want >= 0) || ok && d != want {
			t.Errorf("%q is %v %v", v, d, ok)
		}
	}
}
