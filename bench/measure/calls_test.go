package measure

import (
	"maps"
	"slices"
	"testing"
)

func TestParseStrace(t *testing.T) {
	text := `strace: Process 4711 attached with 2 threads
strace: Process 4711 detached
syscall              calls
---------------- ---------
write                 4000
read                  4000
epoll_pwait            212
---------------- ---------
total                 8212
`
	got, err := parseStrace([]byte(text))
	want := Calls{"write": 4000, "read": 4000, "epoll_pwait": 212}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got.Total() != 8212 || !slices.Equal(got.Names(), []string{"read", "write", "epoll_pwait"}) {
		t.Errorf("total %d, names %v", got.Total(), got.Names())
	}
	for _, bad := range []string{"", "strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted\n",
		"syscall calls\n------- -----\nread lots\n------- -----\n"} {
		if calls, err := parseStrace([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, calls)
		}
	}
}

func TestParsePerf(t *testing.T) {
	got, err := parsePerf([]byte("\n1234,,raw_syscalls:sys_enter,1001149471,100.00,,\n"))
	if err != nil || got.Total() != 1234 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"} {
		if calls, err := parsePerf([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, calls)
		}
	}
}
