// Package scenario is what is measured and how: the catalogue of scenarios, and the bench that plays them.
//
//	scenario ─► round 1: weir haproxy nginx … floor     rounds are interleaved and start at another contender each time,
//	            round 2: haproxy nginx … floor weir     so that a machine that drifts does so under all of them
//	            round 3: …
//
//	a cell: start the contender on its CPU ─► check that it forwards ─► closed loop (CPU, throughput, memory)
//	        ─► first round only: counted run under strace ─► stop
//	then for each: start ─► open loop (latency), all of them at 70 % of what the slowest could ─► stop
//
// Each cell gets a process of its own, so that the spread of a row holds what differs between starts. The origin serves
// all of them. Load generator and origin report their own CPU time: a row whose throughput they limit says so.
package scenario
