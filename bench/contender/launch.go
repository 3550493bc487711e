package contender

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// CPUs is a set of CPU numbers.
type CPUs []int

// Launcher starts processes from one thread of its own. A child inherits the CPU mask of the thread that forks it, and
// its parent-death signal comes when that thread ends: both ask for a thread that is locked and lives as long as the
// bench does.
type Launcher struct{ starts chan launch }

type launch struct {
	cmd  *exec.Cmd
	cpus CPUs
	done chan error
}

// NewLauncher starts the thread.
func NewLauncher() *Launcher {
	l := &Launcher{starts: make(chan launch)}
	go func() {
		runtime.LockOSThread()
		for s := range l.starts {
			s.done <- start(s.cmd, s.cpus)
		}
	}()
	return l
}

// Start starts cmd on the given CPUs, in a process group of its own, to be ended with Kill.
func (l *Launcher) Start(cmd *exec.Cmd, cpus CPUs) error {
	s := launch{cmd, cpus, make(chan error)}
	l.starts <- s
	return <-s.done
}

func start(cmd *exec.Cmd, cpus CPUs) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPUs %v: %w", cpus, err)
	}
	// SIGTERM and not SIGKILL, because a master that is killed leaves its workers behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd.Start()
}

// Kill ends the process group that Start made, and waits for its leader.
func Kill(cmd *exec.Cmd) {
	killGroup(cmd.Process.Pid)
	cmd.Wait()
}

func killGroup(pid int) { unix.Kill(-pid, unix.SIGKILL) }

// Allowed are the CPUs that this process may use, in order.
func Allowed() (cpus CPUs, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// RaiseFileLimit raises the limit of open files of this process and its children as far as it may, at most to want, and
// returns where it stands.
func RaiseFileLimit(want uint64) uint64 {
	var now unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &now) != nil {
		return 1024
	}
	for _, hard := range []uint64{max(want, now.Max), now.Max} { // Raising the hard limit takes a privilege.
		next := unix.Rlimit{Cur: min(hard, max(want, now.Cur)), Max: hard}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &next) == nil {
			return next.Cur
		}
	}
	return now.Cur
}
