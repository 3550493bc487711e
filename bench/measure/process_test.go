package measure

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5000 0 0"
	got, err := parseStat([]byte(line))
	if err != nil || got != (statTicks{11, 22, 33, 44}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "42", "42 (x) S 1 2", "42 (x) S 1 42 42 0 -1 4 1 2 0 0 a 22 33 44 20 0"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestUsageGrowsWithWork(t *testing.T) {
	machine := MachineBusy()
	before, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own := func() time.Duration { u, _ := ReadUsage(os.Getpid()); return u.Sub(before).CPU }
	for x := 0; own() < 30*time.Millisecond; x++ {
		_ = x * x
	}
	after, _ := ReadUsage(os.Getpid())
	if got := after.Sub(before); got.CPU < 30*time.Millisecond || got.User+got.Kernel != got.CPU {
		t.Errorf("after 30 ms of work: %+v", got)
	}
	if got := MachineBusy() - machine; got <= 0 || got > time.Minute {
		t.Errorf("the machine was busy for %v", got)
	}
	if _, err := ReadUsage(1 << 30); err == nil {
		t.Error("a process that cannot exist has used CPU time")
	}
}

func TestTreeHoldsChildren(t *testing.T) {
	cmd := exec.Command("sleep", "30")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if got := Tree(os.Getpid()); !slices.Contains(got, cmd.Process.Pid) || got[0] != os.Getpid() {
		t.Errorf("the tree of %d is %v, without its child %d", os.Getpid(), got, cmd.Process.Pid)
	}
	if got := childrenByScan(os.Getpid()); !slices.Contains(got, cmd.Process.Pid) {
		t.Errorf("the scan finds %v, without the child %d", got, cmd.Process.Pid)
	}
}

func TestResidentIsPlausible(t *testing.T) {
	block := make([]byte, 32<<20)
	for i := range block {
		block[i] = 1
	}
	if got := Resident(os.Getpid()); got < 32<<20 || got > 8<<30 {
		t.Errorf("%d bytes, with %d in use", got, len(block))
	}
	if block[5] != 1 {
		t.Fatal("unreachable; keeps the block alive")
	}
}
