package netio

import (
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cpuMask has room for 8192 CPUs, as many as Linux can be built for. x/sys has 1024, and a kernel with more possible CPUs
// than the mask refuses the call.
type cpuMask [8192 / 64]uint64

// startMask is the affinity of the process as it began, before any thread was pinned.
var startMask, startErr = readMask()

func readMask() (m cpuMask, err error) {
	if _, _, e := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(m), uintptr(unsafe.Pointer(&m))); e != 0 {
		return m, os.NewSyscallError("sched_getaffinity", e)
	}
	return m, nil
}

// Affinity is the CPUs that the process was started on (taskset, cpusets), lowest first. Any goroutine may call it.
func Affinity() []int {
	if startErr != nil {
		all := make([]int, runtime.NumCPU())
		for i := range all {
			all[i] = i
		}
		return all
	}
	var cpus []int
	for word, b := range startMask {
		for ; b != 0; b &= b - 1 {
			cpus = append(cpus, word*64+bits.TrailingZeros64(b))
		}
	}
	return cpus
}

// PinThread locks the calling goroutine to its thread, and the thread to one CPU. The Go runtime starts further threads
// from one that is not locked, so they do not inherit the pin. The goroutine must not end while the process lives, or
// its thread ends with it.
func PinThread(cpu int) error {
	runtime.LockOSThread()
	var m cpuMask
	if cpu < 0 || cpu >= len(m)*64 {
		return fmt.Errorf("pin to CPU %d: there is no such CPU", cpu)
	}
	m[cpu/64] = 1 << (cpu % 64)
	if _, _, e := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(m), uintptr(unsafe.Pointer(&m))); e != 0 {
		return fmt.Errorf("pin to CPU %d: %w", cpu, os.NewSyscallError("sched_setaffinity", e))
	}
	return nil
}
