package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"weir/bench/epoll"
)

// Run does a job on the calling goroutine, which stays locked to its thread.
func Run(j *Job, hooks Hooks) (*Result, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	if j.Protocol == H3 {
		return runH3(j, hooks)
	}
	runtime.LockOSThread()
	epoll.SharpTimers()
	idle, err := openIdle(j)
	if err != nil {
		return nil, err
	}
	defer closeAll(idle)
	l, err := newLoop(j, hooks)
	if err != nil {
		return nil, err
	}
	return l.run()
}

// Message is one line from a generator process to the bench.
type Message struct {
	Event  string  `json:"event"` // "ready", "measuring", "result" or "error"
	Result *Result `json:"result,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Serve is a generator process: a job on the first line of in, messages as lines to out. With Job.Gate the measured
// part begins when another line arrives on in.
func Serve(in io.Reader, out io.Writer) error {
	// The generator allocates little, but what it does allocate must not be collected in the middle of a measurement.
	debug.SetGCPercent(800)
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	lines := bufio.NewReader(in)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no job: %w", err)
	}
	var j Job
	if err := json.Unmarshal(first, &j); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	enc := json.NewEncoder(out)
	hooks := Hooks{
		Ready: func() {
			enc.Encode(Message{Event: "ready"})
			if j.Gate {
				lines.ReadBytes('\n')
			}
		},
		Measuring: func() { enc.Encode(Message{Event: "measuring"}) },
	}
	result, err := Run(&j, hooks)
	if err != nil {
		enc.Encode(Message{Event: "error", Error: err.Error(), Result: result})
		return errors.New("the job failed")
	}
	return enc.Encode(Message{Event: "result", Result: result})
}
