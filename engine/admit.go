package engine

import (
	"weir/internal/config"
	"weir/internal/msg"
	"weir/internal/stats"
	"weir/internal/stub/h2"
)

// admit takes the exchange through the limits of its backend, chooses its server and looks for a connection.
func (x *exchange) admit() {
	srv := x.choose()
	if srv == nil {
		x.answer(causeNoServer)
		return
	}
	x.way.server = srv
	x.seek()
}

// elsewhere sends the exchange to another server, the last try after failed connects.
func (x *exchange) elsewhere() {
	if srv := x.choose(); srv != nil {
		x.way.server = srv
	}
	x.seek()
}
func (x *exchange) leaveQueue() {
	if x.place == placeWaiting {
		x.way.server.unawait(x)
	}
}
func (x *exchange) onQueueTimeout()       {}
func (w *worker) admits(l *listener) bool { return true }
func (s *session) mayShake() bool         { return true }

type tokens struct{}

func (t *tokens) release(x *exchange) {}

type sessionTokens struct{}

func (t *sessionTokens) take(s *session)    {}
func (t *sessionTokens) release(s *session) {}
func (t *sessionTokens) shook(s *session)   {}

type connTokens struct{}

func (t *connTokens) take(srv *server, x *exchange) *cause { return nil }
func (t *connTokens) release(c *backConn)                  {}

type queue struct{}

func (be *backend) useQueue(q any)            {}
func (s *shared) newQueue(b any) *queue       { return nil }
func (e *Engine) limitRows() []stats.LimitRow { return nil }
func (fe *frontend) sessionOpened(s *session) { fe.sessions++ }
func (fe *frontend) sessionClosed(s *session) { fe.sessions-- }
func (srv *server) tick()                     {}

const causeEvicted = stats.CauseEvicted

func altSvcOf(f *config.Frontend) []byte            { return nil }
func (c *backConn) onPong()                         {}
func (be *backend) h2Config() *h2.Config            { return nil }
func (fe *frontend) h2Config(s *session) *h2.Config { return nil }
func switchToStream(h *msg.Head)                    {}
func (x *exchange) openTunnel(h *msg.Head)          {}
