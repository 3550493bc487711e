// Package msg is what every HTTP version has in common: a message head as spans into one block of bytes, how its body is
// framed, which fields go no further than one hop, and the one vetting that every message passes before it may cross
// from one side of an exchange to the other.
//
//	h1 ──────────────┐                         ┌─ h1
//	h2 ─┬─► Section ─┴► Head ─► vet ─► Head ───┼─ h2
//	h3 ─┘                                      └─ (servers speak h1 and h2)
//
// A Section is what HTTP/2 and HTTP/3 have in common: the rules for pseudo-header fields, names, values and lengths.
//
// It is not a parser or a serialiser (those are the codecs), and it does no I/O. All of it is used by one worker at a
// time; nothing here is safe for concurrent use, and nothing allocates once a Head has grown to its usual size.
package msg
