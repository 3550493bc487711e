package tlsio

import (
	"container/list"
	"crypto/sha256"
	"crypto/tls"
	"sync"
)

// sessionKey identifies whom a session was made with and how that was verified.
type sessionKey [sha256.Size]byte

// SessionStore remembers sessions with servers, the most recently used ones. There is one for each backend and it may
// outlive a configuration: its keys hold all that must agree for a session to be resumed. Any goroutine may use it; it is
// touched by handshakes only, at most three times each.
type SessionStore struct {
	mu       sync.Mutex
	sessions map[sessionKey]*list.Element
	recent   list.List // of *rememberedSession, most recent first
	max      int
}

type rememberedSession struct {
	key   sessionKey
	state *tls.ClientSessionState
}

// NewSessionStore returns a store of at most max sessions; nil, which remembers nothing, when max is 0.
func NewSessionStore(max int) *SessionStore {
	if max <= 0 {
		return nil
	}
	return &SessionStore{max: max, sessions: make(map[sessionKey]*list.Element)}
}

// Len is how many sessions are remembered.
func (s *SessionStore) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Resize changes how many sessions are remembered, at least 1.
func (s *SessionStore) Resize(max int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = max
	s.evict()
}

func (s *SessionStore) get(k sessionKey) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.sessions[k]
	if !ok {
		return nil, false
	}
	s.recent.MoveToFront(e)
	return e.Value.(*rememberedSession).state, true
}

// put remembers a session, or forgets the one there is when state is nil.
func (s *SessionStore) put(k sessionKey, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.sessions[k]
	switch {
	case state == nil && ok:
		s.forget(e)
	case state == nil:
	case ok:
		e.Value.(*rememberedSession).state = state
		s.recent.MoveToFront(e)
	default:
		s.sessions[k] = s.recent.PushFront(&rememberedSession{k, state})
		s.evict()
	}
}

func (s *SessionStore) evict() {
	for len(s.sessions) > s.max {
		s.forget(s.recent.Back())
	}
}

func (s *SessionStore) forget(e *list.Element) {
	delete(s.sessions, s.recent.Remove(e).(*rememberedSession).key)
}

// sessionSlot is the tls.ClientSessionCache of one Peer: it knows its key itself and ignores the one of crypto/tls, which
// is the server name alone.
type sessionSlot struct {
	store *SessionStore
	key   sessionKey
}

func (s *sessionSlot) Get(string) (*tls.ClientSessionState, bool)  { return s.store.get(s.key) }
func (s *sessionSlot) Put(_ string, state *tls.ClientSessionState) { s.store.put(s.key, state) }
