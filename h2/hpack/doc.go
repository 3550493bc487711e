// Package hpack is header compression for HTTP/2 (RFC 7541): field blocks to fields and back, without allocating.
//
//	             static table (61 entries, shared, read only)
//	                │
//	block ─► Decoder ─► text appended to the caller's buffer + Field (spans, identity, verdict)
//	            │
//	            └── dynamic table: a ring of text, a ring of entries; grows from nothing to TableBytes
//
//	fields ─► Encoder ─► block appended to the caller's buffer
//	             │
//	             ├── dynamic table, the same type
//	             └── memo: which literals were seen once, which entry holds a hash
//
// It is not a validator of messages: it says whether a name and a value are well formed (RFC 9113 section 8.2.1), because
// it touches every byte anyway and can remember the verdict with a table entry, but what a well-formed field means is for
// package h2 to judge. It does no Huffman coding of what it sends; docs/decisions/hpack.md says why.
//
// A Decoder and an Encoder belong to one connection and are used by one worker. Their memory is bounded by MemoryMax.
package hpack
