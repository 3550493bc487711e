package h2

// liveLinks chain a stream into its hash bucket and into the list of all live ones.
type liveLinks struct {
	bucket     *Stream
	prev, next *Stream
}

// bucketsMin is how many buckets a connection has without any memory of its own.
const bucketsMin = 8

// store holds the streams of one connection that were not forgotten, by identifier and in the order they came. A stream
// opened by the client role is in the list from Open on, and in a bucket once it has an identifier.
type store struct {
	buckets     []*Stream // a power of two; nil: the first ones in small
	small       [bucketsMin]*Stream
	first, last *Stream
	live        int    // records held
	active      int    // of them, not closed: what SETTINGS_MAX_CONCURRENT_STREAMS counts
	unsent      int    // of them, without an identifier yet
	nextID      uint32 // client role: the identifier of the next head
	recent      recent
}

func (t *store) table() []*Stream {
	if t.buckets == nil {
		return t.small[:]
	}
	return t.buckets
}

// find returns the stream with this identifier, or nil.
func (t *store) find(id uint32) *Stream {
	b := t.table()
	s := b[int(id>>1)&(len(b)-1)]
	for s != nil && s.ID != id {
		s = s.live.bucket
	}
	return s
}

// add puts a stream at the end of the list.
func (t *store) add(s *Stream) {
	s.live.prev = t.last
	if t.last != nil {
		t.last.live.next = s
	} else {
		t.first = s
	}
	t.last = s
	t.live++
	t.active++
}

// index makes the stream known by its identifier. The table grows to keep buckets short and stays at its size: a
// connection that had many streams once will have them again.
func (t *store) index(s *Stream) {
	if b := t.table(); t.live > 4*len(b) {
		t.buckets = make([]*Stream, 4*len(b))
		t.small = [bucketsMin]*Stream{}
		for x := t.first; x != nil; x = x.live.next {
			if x.ID != 0 && x != s {
				t.link(x)
			}
		}
	}
	t.link(s)
}

func (t *store) link(s *Stream) {
	b := t.table()
	at := &b[int(s.ID>>1)&(len(b)-1)]
	s.live.bucket, *at = *at, s
}

// remove takes a stream out of everything.
func (t *store) remove(s *Stream) {
	if s.ID != 0 {
		b := t.table()
		at := &b[int(s.ID>>1)&(len(b)-1)]
		for *at != s {
			at = &(*at).live.bucket
		}
		*at = s.live.bucket
	}
	if s.live.prev != nil {
		s.live.prev.live.next = s.live.next
	} else {
		t.first = s.live.next
	}
	if s.live.next != nil {
		s.live.next.live.prev = s.live.prev
	} else {
		t.last = s.live.prev
	}
	s.live = liveLinks{}
	t.live--
}

// recentIDs is how many identifiers back a connection remembers what became of streams that are gone.
const recentIDs = 256

// recent remembers two facts about each of the latest streams: that it was opened at all (RFC 9113 section 5.1.1 closes
// those that a client skips), and that we cut it off, so that what was under way must be ignored (section 5.1).
type recent struct {
	top    uint32 // the highest identifier that was opened
	opened [recentIDs / 64]uint64
	wasCut [recentIDs / 64]uint64
}

func (r *recent) knows(id uint32) bool { return id <= r.top && r.top-id < 2*recentIDs }

// open advances to a new highest identifier.
func (r *recent) open(id uint32) {
	if id-r.top >= 2*recentIDs {
		r.opened, r.wasCut = [recentIDs / 64]uint64{}, [recentIDs / 64]uint64{}
	} else {
		for x := r.top + 2; x < id; x += 2 {
			r.clear(x)
		}
		r.clear(id)
	}
	r.top = id
	at, bit := recentBit(id)
	r.opened[at] |= bit
}

func (r *recent) clear(id uint32) {
	at, bit := recentBit(id)
	r.opened[at] &^= bit
	r.wasCut[at] &^= bit
}

func recentBit(id uint32) (at int, bit uint64) {
	n := id >> 1 % recentIDs
	return int(n / 64), 1 << (n % 64)
}

func (r *recent) markCut(id uint32) {
	if r.knows(id) {
		at, bit := recentBit(id)
		r.wasCut[at] |= bit
	}
}

// skipped reports whether the stream is known never to have been opened.
func (r *recent) skipped(id uint32) bool {
	at, bit := recentBit(id)
	return r.knows(id) && r.opened[at]&bit == 0
}

// cutOff reports whether we are known to have reset the stream while the peer was still sending on it, so that frames may
// be under way through no fault of the peer.
func (r *recent) cutOff(id uint32) bool {
	at, bit := recentBit(id)
	return r.knows(id) && r.wasCut[at]&bit != 0
}
