package netio

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPinThread(t *testing.T) {
	cpus := Affinity()
	if len(cpus) == 0 || !slices.IsSorted(cpus) {
		t.Fatalf("the process's CPUs: %v", cpus)
	}
	last := cpus[len(cpus)-1]
	type result struct {
		err   error
		where []int
	}
	done := make(chan result)
	go func() {
		// The goroutine ends locked, and takes its pinned thread with it.
		err := PinThread(last)
		var set unix.CPUSet
		unix.SchedGetaffinity(0, &set)
		var where []int
		for cpu := range len(set) * 64 {
			if set.IsSet(cpu) {
				where = append(where, cpu)
			}
		}
		done <- result{err, where}
	}()
	r := <-done
	if errors.Is(r.err, unix.EPERM) {
		t.Skip("where no thread may choose its CPU: ", r.err)
	}
	if r.err != nil || !slices.Equal(r.where, []int{last}) {
		t.Errorf("pinned to %v (%v), want %d", r.where, r.err, last)
	}
	for _, cpu := range []int{-1, 8192, 8191} {
		go func() { done <- result{err: PinThread(cpu)} }()
		if r := <-done; r.err == nil {
			t.Errorf("pinned to CPU %d", cpu)
		}
	}
	if got := Affinity(); !slices.Equal(got, cpus) {
		t.Errorf("pinning one thread changed the process's CPUs to %v", got)
	}
}
