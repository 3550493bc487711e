package sim_test

import (
	"fmt"
	"testing"

	"weir/internal/sim"
	"weir/netio"
	"weir/netio/kerneltest"
)

// TestKernelBehaves holds the simulated kernel to what Linux does, for a few seeds, with and without the faults that do
// not change what a kernel promises.
func TestKernelBehaves(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			kerneltest.Run(t, func(t *testing.T, n int) []netio.Kernel {
				world := sim.New(seed)
				if seed%2 == 1 {
					world.Faults.Fragment = 0.3
				}
				ks := make([]netio.Kernel, n)
				for i := range ks {
					ks[i] = world.Kernel()
				}
				return ks
			})
		})
	}
}
