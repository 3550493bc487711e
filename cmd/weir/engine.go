package main

import (
	"math"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"weir/engine"
	"weir/internal/config"
	"weir/sysctl"
)

// enginePlane is the engine as a plane.
type enginePlane struct{ *engine.Engine }

// Listeners implements plane.
func (e enginePlane) Listeners() sockets { return e.Engine.Listeners() }

// startEngine is the starter of everything but tests.
func startEngine(cfg *config.Config, o planeOptions) (plane, error) {
	files, _ := sysctl.RaiseNoFile() // a failure was reported when the kernel was looked at; 0 divides nothing
	e, err := engine.Start(cfg, engine.Options{
		Log: o.log, AccessLog: o.access, Version: thisBuild().Version, Inherited: o.inherited, QUIC: o.quic, Lives: o.lives,
		Files: int(min(files, math.MaxInt32)), Memory: memoryMax(), Generation: o.generation,
	})
	if err != nil {
		return nil, err
	}
	return enginePlane{e}, nil
}

// memoryMax is what the process should stay below: GOMEMLIMIT if it is set, else nine tenths of the machine's memory.
func memoryMax() int64 {
	if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
		return n
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit) / 10 * 9)
}
