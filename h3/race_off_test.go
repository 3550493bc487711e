//go:build !race

package h3

// underRace is whether the race detector slows everything down tenfold.
const underRace = false
