package main

import (
	"weir/engine"
	"weir/internal/config"
)

// enginePlane is the engine as a plane.
type enginePlane struct{ *engine.Engine }

// Listeners implements plane.
func (e enginePlane) Listeners() sockets { return e.Engine.Listeners() }

// startEngine is the starter of everything but tests.
func startEngine(cfg *config.Config, o planeOptions) (plane, error) {
	e, err := engine.Start(cfg, engine.Options{
		Log: o.log, AccessLog: o.access, Version: thisBuild().Version, Inherited: o.inherited,
	})
	if err != nil {
		return nil, err
	}
	return enginePlane{e}, nil
}
