// Package stats is what weir counts: cells that one worker owns and writes without atomics, and the merged view that the
// control plane shows.
//
//	worker 0  cells ──Snapshot──► Cells ─┐
//	worker 1  cells ──Snapshot──► Cells ─┼─ Merge ─► Snapshot ─► metrics, tables, JSON
//	worker N  cells ──Snapshot──► Cells ─┘
//	  (owned by the worker)     (carried back        (plain values, any goroutine)
//	                             in a message)
//
// A cell is a plain integer. Only the worker that owns it may read or write it, so counting costs an add and no cache
// line ever moves between CPUs because of it. To read them all, the control plane posts a message to each worker; the
// worker copies its cells into a Cells that the message carried (a copy, no allocation once the Cells has its size) and
// sends it back. Locks and atomics were rejected: the data path would pay on each request for what is read every few
// seconds.
//
// Handles are stable: asking for the same name again returns the same cells, so that a reload never makes a counter go
// back. Worst-case memory is a written sum: per worker about 4.5 KiB for each backend (four histograms), 0.5 KiB for
// each server, 0.5 KiB for each frontend and 0.2 KiB for each pair of frontend and backend that saw a request.
//
// The package is not an exporter (internal/admin is), does no I/O, and holds no clock.
package stats
