package main

import (
	"fmt"

	"weir/internal/config"
	"weir/netio"
	"weir/sysctl"
)

// memory is the sum that bounds the memory of connections: when every limit is reached and every buffer is full.
type memory struct {
	Clients      int    `json:"clients"`
	ClientBytes  int    `json:"bytes-per-client"`
	Servers      int    `json:"server-connections"`
	ServerBytes  int    `json:"bytes-per-server-connection"`
	Worst        uint64 `json:"worst-case-bytes"`
	Idle         uint64 `json:"idle-bytes"` // the same connections, all idle
	Unlimited    bool   `json:"unlimited"`  // [global] has no max-conn: the number of clients is an assumption
	OpenFilesMax int    `json:"open-files"`
}

// What an idle connection holds at most, plain and over TLS (design, section 3).
const (
	idlePlainBytes = 512
	idleTLSBytes   = 8 << 10
)

func memoryOf(c *config.Config, n sysctl.Needs) *memory {
	m := &memory{
		Clients: n.Clients, Servers: n.Servers, Unlimited: c.Global.Limits.MaxConn == 0, OpenFilesMax: n.Files(),
		ClientBytes: bufferBytes(c.Global.Limits),
	}
	perClient, idle := 0, idlePlainBytes
	for _, f := range c.Frontends {
		perClient = max(perClient, bufferBytes(f.Limits))
		for _, b := range f.Binds {
			if b.TLS != nil {
				idle = idleTLSBytes
			}
		}
	}
	if perClient > 0 {
		m.ClientBytes = min(m.ClientBytes, perClient)
	}
	for _, b := range c.Backends {
		m.ServerBytes = max(m.ServerBytes, bufferBytes(b.Limits))
	}
	m.Worst = uint64(m.Clients)*uint64(m.ClientBytes) + uint64(m.Servers)*uint64(m.ServerBytes)
	m.Idle = uint64(m.Clients+m.Servers) * uint64(idle)
	return m
}

// bufferBytes is what one connection may hold; without a limit it is the most that the configuration could allow.
func bufferBytes(l *config.Limits) int {
	if l.MaxBufferSize == 0 {
		return 256 << 10
	}
	return l.MaxBufferSize
}

func (m *memory) String() string {
	s := fmt.Sprintf("memory: %d clients × %s + %d server connections × %s = %s at worst, %s when idle; %d open files",
		m.Clients, bytesText(uint64(m.ClientBytes)), m.Servers, bytesText(uint64(m.ServerBytes)), bytesText(m.Worst), bytesText(m.Idle), m.OpenFilesMax)
	if m.Unlimited {
		s += " (no max-conn in [global]: the clients are an assumption)"
	}
	return s
}

// bytesText is a size with three digits.
func bytesText(n uint64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if f < 10 && unit != "B" {
		return fmt.Sprintf("%.1f %s", f, unit)
	}
	return fmt.Sprintf("%.0f %s", f, unit)
}

// workersOf is how many workers a configuration runs on this machine.
func workersOf(c *config.Config) int {
	if c.Global.Workers > 0 {
		return c.Global.Workers
	}
	return max(1, len(netio.Affinity()))
}
