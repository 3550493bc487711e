//go:build race

package tlsio

// raceDetector: sync.Pool, which crypto/tls takes its buffers from, forgets at random under the race detector.
const raceDetector = true
