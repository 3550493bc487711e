package measure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Calls are numbers of system calls by name. The name "" holds the total where a tool tells nothing more.
type Calls map[string]int64

// Total is the number of all calls.
func (c Calls) Total() (n int64) {
	for _, k := range c {
		n += k
	}
	return n
}

// Names are the names of c, the most frequent first.
func (c Calls) Names() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if c[a] != c[b] {
			return int(c[b] - c[a])
		}
		return strings.Compare(a, b)
	})
	return names
}

// Tracer counts the system calls of running processes from StartTracer until Stop.
type Tracer struct {
	Tool   string
	cmd    *exec.Cmd
	output *bytes.Buffer
	parse  func([]byte) (Calls, error)
}

// StartTracer attaches strace (which names every call, and slows its subject so much that nothing may be timed
// meanwhile) to the tree of pid, or perf when strace is missing or tool says so. It returns when the tracer is attached.
func StartTracer(tool string, pid int) (*Tracer, error) {
	if tool == "" {
		tool = "strace"
		if _, err := exec.LookPath(tool); err != nil {
			tool = "perf"
		}
	}
	var pids []string
	for _, p := range Tree(pid) {
		pids = append(pids, strconv.Itoa(p))
	}
	t := &Tracer{Tool: tool, output: new(bytes.Buffer)}
	switch tool {
	case "strace":
		t.parse = parseStrace
		t.cmd = exec.Command("strace", "-c", "-f", "-U", "name,calls", "-p", strings.Join(pids, ","))
	case "perf":
		t.parse = parsePerf
		t.cmd = exec.Command("perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", strings.Join(pids, ","))
	default:
		return nil, fmt.Errorf("no tracer called %q: want strace or perf", tool)
	}
	t.cmd.Stderr = t.output
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	t.awaitAttached(pid)
	return t, nil
}

// awaitAttached waits until the kernel shows a tracer on the process. perf shows nothing; it gets a fixed while, during
// which the subject idles, so that nothing is missed or counted too much.
func (t *Tracer) awaitAttached(pid int) {
	status := fmt.Sprintf("/proc/%d/status", pid)
	for range 200 {
		time.Sleep(10 * time.Millisecond)
		if t.Tool == "perf" {
			time.Sleep(200 * time.Millisecond)
			return
		}
		if procKB(status, "TracerPid:") > 0 {
			time.Sleep(50 * time.Millisecond) // the remaining threads
			return
		}
	}
}

// Stop detaches and returns the counts.
func (t *Tracer) Stop() (Calls, error) {
	t.cmd.Process.Signal(unix.SIGINT)
	done := make(chan error, 1)
	go func() { done <- t.cmd.Wait() }()
	select {
	case <-done: // The exit status tells only that SIGINT came.
	case <-time.After(5 * time.Second):
		t.cmd.Process.Kill()
		<-done
		return nil, errors.New(t.Tool + " did not stop")
	}
	return t.parse(t.output.Bytes())
}

// parseStrace reads the table that strace -c -U name,calls prints:
//
//	syscall              calls
//	---------------- ---------
//	read                    12
//	---------------- ---------
//	total                   12
func parseStrace(text []byte) (Calls, error) {
	calls, rules := Calls{}, 0
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan() && rules < 2; {
		f := strings.Fields(sc.Text())
		switch {
		case len(f) > 0 && strings.HasPrefix(f[0], "----"):
			rules++
		case rules == 1 && len(f) == 2:
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("strace's table: %w", err)
			}
			calls[f[0]] += n
		}
	}
	if rules < 2 {
		return nil, fmt.Errorf("strace printed no table: %.200q", text)
	}
	return calls, nil
}

// parsePerf reads perf stat -x, for the one event asked for: COUNT,,EVENT,…
func parsePerf(text []byte) (Calls, error) {
	for line := range strings.Lines(string(text)) {
		f := strings.Split(line, ",")
		if len(f) < 3 || !strings.HasPrefix(f[2], "raw_syscalls:sys_enter") {
			continue
		}
		n, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("perf counted nothing: %q", line)
		}
		return Calls{"": n}, nil
	}
	return nil, fmt.Errorf("perf printed no count: %.200q", text)
}
