package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

var (
	binary string // the weir under test
	files  string // certificates, made once
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait, for a timeout or for bytes. As many as there are CPUs would leave the CPUs idle.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("12")
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		files = dir
		makeCertificates(dir)
		binary, err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build makes the binary under test.
func build(dir string) (string, error) {
	if b := os.Getenv("WEIR_E2E_BINARY"); b != "" {
		return filepath.Abs(b)
	}
	b := filepath.Join(dir, "weir")
	args := []string{"build", "-o", b}
	if os.Getenv("WEIR_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	c := exec.Command("go", append(args, "weir/cmd/weir")...)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	return b, c.Run()
}

// hosts counts the loopback addresses given out. Where it starts is drawn, so that two runs of these tests on one machine
// do not meet.
var hosts atomic.Uint32

func init() { hosts.Store(rand.Uint32()) }

// newHost is a loopback address (127.0.0.0/8) that nobody else uses. Ports on it below the ephemeral range are free for
// certain, which no port is that was found free a moment ago.
func newHost() string { return loopback(hosts.Add(1)) }

// loopback is the nth loopback address: 127.64.0.1 to 127.190.255.254, each once before the first comes again.
func loopback(n uint32) string {
	return net.IPv4(127, byte(64+n/254/256%127), byte(n/254), byte(1+n%254)).String()
}

// A test's listener once met another's, whose address came again after 253 others.
func TestHostsDoNotComeAgain(t *testing.T) {
	seen := make(map[string]bool)
	for n := range uint32(70_000) {
		h := loopback(n)
		if seen[h] {
			t.Fatalf("%s again as number %d", h, n)
		}
		seen[h] = true
	}
}
