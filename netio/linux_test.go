package netio_test

import (
	"testing"

	"weir/netio"
	"weir/netio/kerneltest"
)

// openLinux makes kernels that are shut after the test.
func openLinux(t *testing.T, n int) []netio.Kernel {
	ks := make([]netio.Kernel, n)
	for i := range ks {
		k, err := netio.NewLinux()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Shut)
		ks[i] = k
	}
	return ks
}

func TestLinuxBehaves(t *testing.T) { kerneltest.Run(t, openLinux) }
