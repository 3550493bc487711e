package stats

import "net/netip"

// Worker is all the cells of one worker. Only that worker's thread may touch it, from creation on; registering handles on
// it too keeps the memory of two workers apart.
type Worker struct {
	Loop     Loop
	Answers  [Reasons]uint64 // answers that weir made itself, by the engine's reason
	failures failures

	id        int
	frontends []*Frontend // in the order of registration
	backends  []*Backend

	frontendByName map[string]*Frontend
	backendByName  map[string]*Backend
}

// Loop is what a worker counts about itself.
type Loop struct {
	Seconds      Histogram // ns of one turn, from the end of the wait to the next one
	Conns        int64     // client and server connections now on this worker
	Turns        uint64
	Events       uint64 // from the kernel
	Sleeps       uint64 // waits that could block
	MailIn       uint64 // messages taken from the mailbox
	MailOut      uint64 // messages posted to other mailboxes
	LogLines     uint64 // access-log lines handed over
	LogDropped   uint64 // access-log lines dropped because they could not be written at once
	AcceptErrors uint64 // accepts that failed for want of descriptors or memory
}

// Frontend is a frontend's cells.
type Frontend struct {
	Conns             [Protocols]int64     // client connections now
	ConnsTotal        [Protocols]uint64    // accepted
	Handshakes        [Protocols][2]uint64 // TLS handshakes completed; 1: resumed
	HandshakeFailures [Protocols]uint64    // TLS handshakes begun and not completed
	InFlight          int64                // exchanges now
	BytesIn, BytesOut uint64               // body and head bytes from and to clients

	name   string
	routes []*Route
	_      [64]byte
}

// Route is the cells of the requests of one frontend that one backend served.
type Route struct {
	Requests [Classes][Protocols]uint64 // exchanges that ended

	frontend, backend string
	_                 [16]byte // up to whole cache lines, so that workers never share one
}

// Backend is a backend's cells.
type Backend struct {
	QueueLength     int64 // exchanges waiting now
	QueueRejected   [QueueReasons]uint64
	QueueWait       Histogram // ns, of those that waited and got their turn
	RequestDuration Histogram // ns, head received to last byte written
	ConnectDuration Histogram // ns, TCP and TLS
	RequestsPerConn Histogram // exchanges a server connection carried, observed at its close
	Retries         [Reasons][Outcomes]uint64

	name         string
	servers      []*Server // in the order of registration
	serverByName map[string]*Server
	_            [64]byte
}

// Server is a server's cells on this worker: its shard of the pool and what flows through it.
type Server struct {
	State  ServerState
	Weight int   // as in force
	Limit  int64 // max-conn as in force; 0 unlimited
	Need   int64 // estimate of the connections that this worker needs

	Used       int64 // shared connections with an exchange
	IdleSafe   int64 // idle, proven
	IdleFresh  int64 // idle, no complete exchange yet
	Private    int64 // owned by one session, idle or not
	Connecting int64
	Draining   int64 // finishing what they have, taking nothing new
	InFlight   int64 // exchanges now

	Opened    [Whys]uint64
	Closed    [Causes]uint64
	Reused    uint64 // exchanges that rode on a connection that had carried one before
	TakenOver uint64 // idle connections received from another worker
	GivenAway uint64 // idle connections handed to another worker
	Requests  uint64 // exchanges sent
	Errors    [ErrorKinds]uint64

	BytesIn, BytesOut uint64 // from and to the server

	backend, name string
	_             [64]byte
}

// NewWorker returns the cells of worker id, all zero.
func NewWorker(id int) *Worker {
	return &Worker{id: id, frontendByName: map[string]*Frontend{}, backendByName: map[string]*Backend{}}
}

// ID is the worker's number.
func (w *Worker) ID() int { return w.id }

// Frontend returns the cells of a frontend; the same name gives the same cells for as long as the process runs. Call it
// when a configuration is applied and keep the handle.
func (w *Worker) Frontend(name string) *Frontend {
	f := w.frontendByName[name]
	if f == nil {
		f = &Frontend{name: name}
		w.frontendByName[name] = f
		w.frontends = append(w.frontends, f)
	}
	return f
}

// Backend returns the cells of a backend, as Frontend does.
func (w *Worker) Backend(name string) *Backend {
	b := w.backendByName[name]
	if b == nil {
		b = &Backend{name: name, serverByName: map[string]*Server{}}
		w.backendByName[name] = b
		w.backends = append(w.backends, b)
	}
	return b
}

// Server returns the cells of a server of a backend, as Frontend does.
func (w *Worker) Server(backend, server string) *Server {
	b := w.Backend(backend)
	s := b.serverByName[server]
	if s == nil {
		s = &Server{backend: backend, name: server}
		b.serverByName[server] = s
		b.servers = append(b.servers, s)
	}
	return s
}

// Route returns the cells of the requests that f sent to b; nil b: requests that reached no backend. It allocates the first
// time a pair is seen and searches a short list afterwards, so the engine keeps the handle beside the route.
func (f *Frontend) Route(b *Backend) *Route {
	name := ""
	if b != nil {
		name = b.name
	}
	for _, r := range f.routes {
		if r.backend == name {
			return r
		}
	}
	r := &Route{frontend: f.name, backend: name}
	f.routes = append(f.routes, r)
	return r
}

// Count counts one exchange that ended with the given final status; 0: none was sent.
func (r *Route) Count(status int, p Protocol) { r.Requests[ClassOf(status)][p]++ }

// Name is the frontend's name.
func (f *Frontend) Name() string { return f.name }

// Name is the backend's name.
func (b *Backend) Name() string { return b.name }

// Name is the server's name within its backend.
func (s *Server) Name() string { return s.name }

// Idle is the number of idle shared connections.
func (s *Server) Idle() int64 { return s.IdleSafe + s.IdleFresh }

// Live is the number of connections in any state.
func (s *Server) Live() int64 {
	return s.Used + s.Idle() + s.Private + s.Connecting + s.Draining
}

// Failure is one exchange or connection that went wrong, as `weir show errors` lists it. The strings are the engine's
// static words or names of the configuration: recording one copies a struct and allocates nothing.
type Failure struct {
	UnixNano int64          `json:"unix-nano"`
	Worker   int            `json:"worker"`
	Frontend string         `json:"frontend"`
	Backend  string         `json:"backend"`
	Server   string         `json:"server"`
	Client   netip.AddrPort `json:"client"`
	Status   int            `json:"status"` // 0: no answer could be made
	Reason   string         `json:"reason"`
	Detail   string         `json:"detail"`
}

// failuresMax is how many failures a worker remembers.
const failuresMax = 64

// failures is a ring of the last failures.
type failures struct {
	ring  [failuresMax]Failure
	total uint64
}

// Fail remembers a failure over the oldest one. f.Worker is filled in.
func (w *Worker) Fail(f Failure) {
	f.Worker = w.id
	w.failures.ring[w.failures.total%failuresMax] = f
	w.failures.total++
}
