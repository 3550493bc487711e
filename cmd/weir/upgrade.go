package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// upgradeTime is how long a new process may take to serve. It loads the configuration and starts workers; that a minute is
// not enough means that it never will.
const upgradeTime = time.Minute

// binary is the path by which this process was started, found before anyone changed directory. It is not /proc/self/exe:
// that names the old file for ever, also where a link has been moved on to the new one.
var binary, binaryErr = findBinary(os.Args[0])

func findBinary(arg0 string) (string, error) {
	path, err := exec.LookPath(arg0)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// Upgrade implements admin.Engine: the binary that is now at our path takes the listening sockets over and we drain. Until
// it is ready both sets of workers could accept, and only ours do; from then on the sockets live in the new process, so
// that at no moment a connection finds nobody.
func (p *process) Upgrade(ctx context.Context) (oldGen, newGen uint64, err error) {
	ctx, err = p.beginUpgrade(ctx)
	if err != nil {
		return p.unchanged(err)
	}
	defer p.endUpgrade()
	p.change.Lock()
	defer p.change.Unlock()
	next, err := p.spawn(ctx)
	if err != nil {
		p.plane.ReclaimQUIC()
		return p.unchanged(err)
	}
	p.log.Info("new process is ready", "pid", next.pid)
	p.mu.Lock()
	p.replaced = true
	draining := p.draining
	p.mu.Unlock()
	if draining { // it was told to end a moment before it would have been replaced: who told it means the service
		_ = unix.Kill(next.pid, unix.SIGTERM)
		return p.unchanged(errDraining)
	}
	p.notify(fmt.Sprintf("MAINPID=%d", next.pid))
	// Both processes accept on the admin listener now; whoever scrapes is to find the new one.
	p.closeLater(p.http)
	p.http = nil
	go p.logged("drain", p.Drain)
	oldGen, _, _ = p.unchanged(nil)
	return oldGen, next.generation, nil
}

// errDraining is why there is no upgrade once a drain has begun.
var errDraining = errors.New("draining: there is nothing left to hand over")

// beginUpgrade returns a context that ends with the upgrade, and when the process is told to end meanwhile.
func (p *process) beginUpgrade(ctx context.Context) (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.replaced:
		return nil, errReplaced
	case p.draining:
		return nil, errDraining
	case p.upgrading != nil:
		return nil, errUpgrading
	case binaryErr != nil:
		return nil, binaryErr
	case p.file == "":
		return nil, errNoFile
	}
	ctx, p.upgrading = context.WithCancelCause(ctx)
	return ctx, nil
}

func (p *process) endUpgrade() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upgrading(nil)
	p.upgrading = nil
}

// successor is a new process that has said that it is ready.
type successor struct {
	pid        int
	generation uint64
}

// spawn starts the new process and waits until it serves. One that fails is ended, and we go on as if nothing had been.
func (p *process) spawn(ctx context.Context) (*successor, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	defer theirs.Close()
	lifeEnd, life, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer lifeEnd.Close()
	p.life = life // held, or it would be closed by and by
	files, note, err := p.handOver(theirs, lifeEnd)
	if err != nil {
		return nil, err
	}
	pid, err := startBinary(files, note)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	_ = theirs.Close() // its end has to be the new process's end
	child, err := os.FindProcess(pid)
	if err != nil {
		return nil, err
	}
	generation, err := awaitReady(ctx, ours)
	if err != nil {
		_ = child.Kill() // it may be gone already
		if state, werr := child.Wait(); werr == nil && errors.Is(err, errEnded) {
			err = fmt.Errorf("%w (%v)", err, state)
		}
		return nil, err
	}
	go func() { _, _ = child.Wait() }() // should it end before us, it leaves no zombie
	return &successor{pid, generation}, nil
}

// handOver lists the descriptors for the new process, in the order in which it will have them, and the note that says
// which is which. The descriptors stay ours.
func (p *process) handOver(ready, life *os.File) (files []uintptr, note handoverNote, err error) {
	files = []uintptr{0, 1, 2}
	add := func(fd uintptr) int {
		files = append(files, fd)
		return len(files) - 1
	}
	note.Listeners = p.plane.Listeners()
	for addr, fds := range note.Listeners {
		for i := range fds {
			note.Listeners[addr][i] = add(uintptr(fds[i]))
		}
	}
	if note.QUIC, err = p.plane.QUIC(); err != nil {
		return nil, note, fmt.Errorf("hand the UDP sockets over: %w", err)
	}
	for _, q := range note.QUIC {
		for i, fd := range q.Sockets {
			q.Sockets[i] = add(uintptr(fd))
		}
	}
	for _, f := range append(slices.Clone(p.lives), life) {
		raw, err := f.SyscallConn() // Fd would make it blocking, for the other process too
		if err == nil {
			err = raw.Control(func(fd uintptr) { note.Lives = append(note.Lives, add(fd)) })
		}
		if err != nil {
			return nil, note, fmt.Errorf("hand the life of a process over: %w", err)
		}
	}
	if p.http != nil {
		raw, err := p.http.HTTPListener().SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { note.Admin = add(fd) })
		}
		if err != nil {
			return nil, note, fmt.Errorf("hand the admin listener over: %w", err)
		}
	}
	note.Ready = add(ready.Fd())
	note.Generation, _, _ = p.unchanged(nil)
	return files, note, nil
}

// startBinary starts our binary with our arguments. It does not go through os/exec: os.File makes a descriptor blocking
// when it is asked for it, and these belong to event loops.
func startBinary(files []uintptr, note handoverNote) (pid int, err error) {
	b, err := json.Marshal(note)
	if err != nil {
		panic("weir: a note that is no JSON: " + err.Error())
	}
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, handoverEnv+"=") {
			env = append(env, v)
		}
	}
	pid, _, err = syscall.StartProcess(binary, os.Args, &syscall.ProcAttr{
		Env: append(env, handoverEnv+"="+string(b)), Files: files,
	})
	return pid, err
}

// errEnded is what is known of a new process that has ended without a word.
var errEnded = errors.New("the new process ended before it was ready; its log says why")

// awaitReady waits for the new process to say that it serves.
func awaitReady(ctx context.Context, pipe *os.File) (generation uint64, err error) {
	stop := context.AfterFunc(ctx, func() { _ = pipe.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := pipe.SetReadDeadline(time.Now().Add(upgradeTime)); err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(pipe).ReadBytes('\n')
	if ctx.Err() != nil && err != nil {
		return 0, context.Cause(ctx)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, fmt.Errorf("the new process did not become ready within %v", upgradeTime)
	}
	if err != nil {
		return 0, errEnded
	}
	var n readyNote
	if err := json.Unmarshal(line, &n); err != nil {
		return 0, fmt.Errorf("the new process says %q: %w", line, err)
	}
	if n.Refused != "" {
		return 0, fmt.Errorf("the new process cannot serve: %s", n.Refused)
	}
	return n.Generation, nil
}
