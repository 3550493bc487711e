package scenario

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"weir/bench/contender"
	"weir/bench/load"
)

// generator is a load generator process that is at work.
type generator struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	messages chan load.Message
	stderr   bytes.Buffer
	bound    context.Context
	cancel   context.CancelFunc
}

// slack is how much longer than its plan a generator may take before it is killed.
const slack = 12 * time.Second

// startLoad starts a generator with a job on the CPUs of the load.
func (b *Bench) startLoad(ctx context.Context, j *load.Job) (*generator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bound := j.Warmup + j.Duration + slack
	if j.Requests > 0 {
		bound += 30 * time.Second
	}
	if j.Idle.Conns > 0 {
		bound += time.Minute
	}
	g := &generator{cmd: exec.Command(self, "load"), messages: make(chan load.Message, 4)}
	g.bound, g.cancel = context.WithTimeout(ctx, bound)
	g.cmd.Stderr = &g.stderr
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.launcher.Start(g.cmd, contender.CPUs(b.opt.LoadCPUs)); err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(g.messages)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var m load.Message
			if json.Unmarshal(lines.Bytes(), &m) == nil {
				g.messages <- m
			}
		}
	}()
	_, err = fmt.Fprintf(g.in, "%s\n", text)
	return g, err
}

// await waits for a message of this kind and passes over others.
func (g *generator) await(event string) (*load.Message, error) {
	for {
		select {
		case m, ok := <-g.messages:
			switch {
			case !ok:
				return nil, fmt.Errorf("the load generator ended: %s", bytes.TrimSpace(g.stderr.Bytes()))
			case m.Event == "error":
				return nil, errors.New(m.Error)
			case m.Event == event:
				return &m, nil
			}
		case <-g.bound.Done():
			return nil, fmt.Errorf("the load generator took too long: %w", context.Cause(g.bound))
		}
	}
}

// open lets a gated job go on.
func (g *generator) open() { fmt.Fprintln(g.in, "go") }

// result waits for the end of the job.
func (g *generator) result() (*load.Result, error) {
	m, err := g.await("result")
	if err != nil {
		return nil, err
	}
	return m.Result, nil
}

// end ends the process, whatever it is doing.
func (g *generator) end() {
	g.cancel()
	g.in.Close()
	contender.Kill(g.cmd)
}

// runLoad does one job from start to end.
func (b *Bench) runLoad(ctx context.Context, j *load.Job) (*load.Result, error) {
	g, err := b.startLoad(ctx, j)
	if err != nil {
		return nil, err
	}
	defer g.end()
	return g.result()
}
