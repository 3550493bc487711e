package measure

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is the CPU time that a process and its descendants have used up to some moment.
type Usage struct {
	CPU    time.Duration `json:"cpu_ns"`    // exact: the scheduler's clock of each process
	User   time.Duration `json:"user_ns"`   // in ticks of 10 ms, of which the kernel samples whose they are
	Kernel time.Duration `json:"kernel_ns"` // the same
}

// Sub returns what was used since earlier, with User and Kernel scaled so that they add up to CPU.
func (u Usage) Sub(earlier Usage) Usage {
	d := Usage{CPU: u.CPU - earlier.CPU}
	user, kernel := max(0, u.User-earlier.User), max(0, u.Kernel-earlier.Kernel)
	if user+kernel > 0 {
		d.User = time.Duration(float64(d.CPU) * float64(user) / float64(user+kernel))
	}
	d.Kernel = d.CPU - d.User
	return d
}

// Tree returns pid and its living descendants.
func Tree(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children(all[i])...)
	}
	return all
}

func children(pid int) (pids []int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if errors.Is(err, os.ErrNotExist) {
			return childrenByScan(pid) // The kernel was built without CONFIG_PROC_CHILDREN.
		}
		for f := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

func childrenByScan(parent int) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ReadUsage sums over the tree of pid, including children that have ended and were waited for (an old worker after a
// reload). It fails only when pid itself is gone.
func ReadUsage(pid int) (total Usage, err error) {
	for i, p := range Tree(pid) {
		u, err := readOne(p)
		if err != nil && i == 0 {
			return Usage{}, err
		}
		total.CPU += u.CPU
		total.User += u.User
		total.Kernel += u.Kernel
	}
	return total, nil
}

func readOne(pid int) (Usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	ticks, err := parseStat(text)
	if err != nil {
		return Usage{}, err
	}
	// The CPU clock of another process: see clock_getcpuclockid(3) for the encoding of the identifier.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return Usage{}, err
	}
	return Usage{CPU: time.Duration(ts.Nano()) + ticks.reaped(), User: time.Duration(ticks.user+ticks.reapedUser) * tick,
		Kernel: time.Duration(ticks.kernel+ticks.reapedKernel) * tick}, nil
}

// MachineBusy is the CPU time that all CPUs together have spent on anything since the machine started, time stolen by a
// hypervisor included. What it grows by beyond the processes one knows was used by others.
func MachineBusy() time.Duration {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, iowait, and guests, which count as user already
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		sum += n
	}
	return time.Duration(sum) * tick
}

type statTicks struct{ user, kernel, reapedUser, reapedKernel int64 }

const tick = time.Second / 100 // USER_HZ is 100 on every Linux port that Go supports

func (t statTicks) reaped() time.Duration { return time.Duration(t.reapedUser+t.reapedKernel) * tick }

// parseStat reads fields 14 to 17 of /proc/PID/stat (proc(5)). The name in field 2 may hold spaces and parentheses, so
// counting starts after the last one.
func parseStat(text []byte) (t statTicks, err error) {
	end := bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[end+1:])
	if end < 0 || len(fields) < 15 {
		return t, fmt.Errorf("no process status: %q", text)
	}
	for i, to := range []*int64{&t.user, &t.kernel, &t.reapedUser, &t.reapedKernel} {
		if *to, err = strconv.ParseInt(string(fields[11+i]), 10, 64); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Resident is the memory of the tree of pid in bytes: proportional (pages shared by k processes count 1/k in each), or
// plain resident set where the kernel does not tell.
func Resident(pid int) (sum int64) {
	for _, p := range Tree(pid) {
		if kb := procKB(fmt.Sprintf("/proc/%d/smaps_rollup", p), "Pss:"); kb > 0 {
			sum += kb << 10
			continue
		}
		sum += procKB(fmt.Sprintf("/proc/%d/status", p), "VmRSS:") << 10
	}
	return sum
}

func procKB(path, key string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb
		}
	}
	return 0
}
