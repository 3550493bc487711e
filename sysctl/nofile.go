package sysctl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// RaiseNoFile raises the limit of open files (RLIMIT_NOFILE) to its hard maximum and returns what it is now.
func RaiseNoFile() (uint64, error) { return RaiseNoFileTo(0) }

// RaiseNoFileTo is RaiseNoFile, but for a hard maximum below want it first tries to raise that too, which takes
// CAP_SYS_RESOURCE. It returns the limit that holds now, which may be below want; that is no error.
func RaiseNoFileTo(want uint64) (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if limit.Max < want {
		higher := unix.Rlimit{Cur: want, Max: want}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &higher) == nil {
			return want, nil
		}
	}
	if limit.Cur >= limit.Max {
		return limit.Cur, nil
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit.Max, Max: limit.Max}); err != nil {
		return limit.Cur, fmt.Errorf("raise RLIMIT_NOFILE from %d to %d: %w", limit.Cur, limit.Max, err)
	}
	return limit.Max, nil
}

// NoFile is the limit of open files as a Setting, so that a check shows it beside the others. Apply cannot write it: it
// belongs to the process and is inherited from whoever starts it.
func NoFile(n Needs) Setting {
	s := Setting{
		Name: "RLIMIT_NOFILE", Wanted: fmt.Sprint(n.Files()), For: "file descriptors of this process (ulimit -n, LimitNOFILE=)",
		Breaks: "accepting stops with EMFILE before max-conn is reached",
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		s.Error = err.Error()
		return s
	}
	s.Current, s.OK = fmt.Sprint(limit.Max), limit.Max >= uint64(n.Files())
	return s
}
