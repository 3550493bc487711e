package e2e

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// starting is the thread that starts programs which are to end with this process. The kernel ends them with the thread that
// has started them (prctl(2), PR_SET_PDEATHSIG), and threads come and go: the one that has been in a network namespace ends
// with its goroutine, and once took a browser with it.
var starting = func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
}()

// startTied starts a program that is killed should this process end without a word.
func startTied(c *exec.Cmd) error {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig = syscall.SIGKILL
	done := make(chan error)
	starting <- func() { done <- c.Start() }
	return <-done
}

func TestProgramsOutliveThreads(t *testing.T) {
	t.Parallel()
	for passing := false; !passing; { // the first thread of a process does not end before all others
		c := exec.Command("sleep", "600")
		thread := make(chan int)
		go func() {
			runtime.LockOSThread() // for ever: the thread ends with the goroutine
			if err := startTied(c); err != nil {
				t.Error(err)
			}
			thread <- syscall.Gettid()
		}()
		tid := <-thread
		if t.Failed() {
			return
		}
		if passing = tid != syscall.Getpid(); passing {
			eventually(t, "the thread ends", func() bool { return syscall.Tgkill(syscall.Getpid(), tid, 0) != nil })
		}
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
		if by := c.ProcessState.Sys().(syscall.WaitStatus).Signal(); by != syscall.SIGTERM {
			t.Errorf("ended by %v", by)
		}
	}
}
