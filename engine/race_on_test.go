//go:build race

package engine

// underRace is whether the race detector is at work: it allocates by itself.
const underRace = true
