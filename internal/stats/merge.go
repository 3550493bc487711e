package stats

import (
	"cmp"
	"slices"
)

// Merge adds the workers' cells up. reasons are the words that Answers and Retries are counted under, by Reason. What
// workers do not know (Time, Info, Limits, each server's Address) is left for the caller. Rows keep the order
// in which worker 0 registered them, which is the order of the configuration.
func Merge(cells []*Cells, reasons []string) *Snapshot {
	s := &Snapshot{Answers: make(map[string]uint64, len(reasons))}
	cells = slices.Clone(cells)
	slices.SortFunc(cells, func(a, b *Cells) int { return cmp.Compare(a.id, b.id) })
	m := merger{
		s: s, reasons: reasons, shards: len(cells),
		frontends: map[string]int{}, backends: map[string]int{}, servers: map[[2]string]int{},
	}
	m.answers(cells)
	for shard, c := range cells {
		s.Workers = append(s.Workers, workerRow(c))
		s.Failures = append(s.Failures, c.failures...)
		for i := range c.frontends {
			m.frontend(&c.frontends[i])
		}
		for i := range c.routes {
			m.route(&c.routes[i])
		}
		for i := range c.backends {
			m.backend(&c.backends[i])
		}
		for i := range c.servers {
			m.server(shard, &c.servers[i])
		}
	}
	slices.SortStableFunc(s.Failures, func(a, b Failure) int { return cmp.Compare(a.UnixNano, b.UnixNano) })
	return s
}

// merger holds what the steps of a Merge share: the snapshot that grows, and where its rows are. Without the maps a
// thousand backends on 64 workers would be compared 32 million times.
type merger struct {
	s       *Snapshot
	reasons []string
	shards  int

	frontends map[string]int
	backends  map[string]int
	servers   map[[2]string]int // index within the backend's row, by backend and server
}

func (m *merger) reason(r int) string {
	if r < len(m.reasons) {
		return m.reasons[r]
	}
	return "unknown"
}

func (m *merger) answers(cells []*Cells) {
	for _, word := range m.reasons {
		m.s.Answers[word] = 0
	}
	for _, c := range cells {
		for r, n := range c.answers {
			if n > 0 {
				m.s.Answers[m.reason(r)] += n
			}
		}
	}
}

func workerRow(c *Cells) WorkerRow {
	l := &c.loop
	return WorkerRow{
		ID: c.id, Connections: l.Conns, Loop: l.Seconds, Turns: l.Turns, Events: l.Events, Sleeps: l.Sleeps,
		MailIn: l.MailIn, MailOut: l.MailOut,
		LogLines: l.LogLines, LogDropped: l.LogDropped, AcceptErrors: l.AcceptErrors,
	}
}

func (m *merger) frontendRow(name string) *FrontendRow {
	if i, ok := m.frontends[name]; ok {
		return &m.s.Frontends[i]
	}
	m.frontends[name] = len(m.s.Frontends)
	m.s.Frontends = append(m.s.Frontends, FrontendRow{
		Name: name, Connections: map[string]int64{}, ConnectionsTotal: map[string]uint64{},
		Handshakes: map[string]uint64{}, HandshakesResumed: map[string]uint64{}, HandshakeFailures: map[string]uint64{},
	})
	return &m.s.Frontends[len(m.s.Frontends)-1]
}

func (m *merger) frontend(f *Frontend) {
	row := m.frontendRow(f.name)
	for p := range Protocols {
		word := p.String()
		row.Connections[word] += f.Conns[p]
		row.ConnectionsTotal[word] += f.ConnsTotal[p]
		row.Handshakes[word] += f.Handshakes[p][0] + f.Handshakes[p][1]
		row.HandshakesResumed[word] += f.Handshakes[p][1]
		row.HandshakeFailures[word] += f.HandshakeFailures[p]
	}
	row.InFlight += f.InFlight
	row.BytesIn += f.BytesIn
	row.BytesOut += f.BytesOut
}

func (m *merger) route(r *Route) {
	row := m.frontendRow(r.frontend)
	// A registered pair has a row before its first request, so that a rate over it starts at 0 and not at a gap.
	row.addRequests(r.backend, Class2xx.String(), H1.String(), 0)
	for class := range Classes {
		for p := range Protocols {
			if n := r.Requests[class][p]; n > 0 {
				row.addRequests(r.backend, class.String(), p.String(), n)
			}
		}
	}
}

func (f *FrontendRow) addRequests(backend, code, protocol string, n uint64) {
	for i := range f.Requests {
		if q := &f.Requests[i]; q.Backend == backend && q.Code == code && q.Protocol == protocol {
			q.Count += n
			return
		}
	}
	f.Requests = append(f.Requests, RequestRow{Backend: backend, Code: code, Protocol: protocol, Count: n})
}

func (m *merger) backendRow(name string) *BackendRow {
	if i, ok := m.backends[name]; ok {
		return &m.s.Backends[i]
	}
	m.backends[name] = len(m.s.Backends)
	m.s.Backends = append(m.s.Backends, BackendRow{Name: name, QueueRejected: map[string]uint64{}})
	return &m.s.Backends[len(m.s.Backends)-1]
}

func (m *merger) backend(b *Backend) {
	row := m.backendRow(b.name)
	row.QueueLength += b.QueueLength
	for r := range QueueReasons {
		row.QueueRejected[r.String()] += b.QueueRejected[r]
	}
	row.QueueWait.Add(&b.QueueWait)
	row.RequestDuration.Add(&b.RequestDuration)
	row.ConnectDuration.Add(&b.ConnectDuration)
	row.RequestsPerConn.Add(&b.RequestsPerConn)
	for reason := range b.Retries {
		for outcome := range Outcomes {
			if n := b.Retries[reason][outcome]; n > 0 {
				row.addRetries(m.reason(reason), outcome.String(), n)
			}
		}
	}
}

func (b *BackendRow) addRetries(reason, outcome string, n uint64) {
	for i := range b.Retries {
		if r := &b.Retries[i]; r.Reason == reason && r.Outcome == outcome {
			r.Count += n
			return
		}
	}
	b.Retries = append(b.Retries, RetryRow{Reason: reason, Outcome: outcome, Count: n})
}

func (m *merger) serverRow(backend, name string) *ServerRow {
	b := m.backendRow(backend)
	key := [2]string{backend, name}
	if i, ok := m.servers[key]; ok {
		return &b.Servers[i]
	}
	m.servers[key] = len(b.Servers)
	// A worker that has not registered the server yet (a reload is under way) shows an empty shard.
	row := ServerRow{
		Backend: backend, Name: name, Pool: Pool{State: StateReady.String()},
		OpenedWhy: map[string]uint64{}, ClosedCause: map[string]uint64{}, Errors: map[string]uint64{},
		Idle: make([]int64, m.shards), Shards: make([]Pool, m.shards),
	}
	for i := range row.Shards {
		row.Shards[i].State = StateReady.String()
	}
	b.Servers = append(b.Servers, row)
	return &b.Servers[len(b.Servers)-1]
}

func (m *merger) server(shard int, s *Server) {
	row := m.serverRow(s.backend, s.name)
	p := s.pool()
	row.Shards[shard], row.Idle[shard] = p, s.Idle()
	row.Weight = max(row.Weight, s.Weight)
	for w := range Whys {
		row.OpenedWhy[w.String()] += s.Opened[w]
	}
	for c := range Causes {
		row.ClosedCause[c.String()] += s.Closed[c]
	}
	for k := range ErrorKinds {
		row.Errors[k.String()] += s.Errors[k]
	}
	row.Pool.add(&p)
}

func (s *Server) pool() Pool {
	p := Pool{
		State: s.State.String(), Used: s.Used, IdleSafe: s.IdleSafe, IdleFresh: s.IdleFresh, Private: s.Private,
		Need: s.Need, Limit: s.Limit, Reused: s.Reused, TakenOver: s.TakenOver, GivenAway: s.GivenAway,
		Connecting: s.Connecting, Draining: s.Draining, InFlight: s.InFlight,
		Requests: s.Requests, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
	}
	for _, n := range s.Opened {
		p.Opened += n
	}
	for _, n := range s.Closed {
		p.Closed += n
	}
	return p
}

// add sums q into p. The limit bounds the sum of the shards, so it is taken, not added; of two states the less useful one
// is shown, because that is what explains missing traffic.
func (p *Pool) add(q *Pool) {
	p.Used += q.Used
	p.IdleSafe += q.IdleSafe
	p.IdleFresh += q.IdleFresh
	p.Private += q.Private
	p.Need += q.Need
	p.Limit = max(p.Limit, q.Limit)
	p.Opened += q.Opened
	p.Reused += q.Reused
	p.TakenOver += q.TakenOver
	p.Closed += q.Closed
	p.Connecting += q.Connecting
	p.Draining += q.Draining
	p.InFlight += q.InFlight
	p.Requests += q.Requests
	p.GivenAway += q.GivenAway
	p.BytesIn += q.BytesIn
	p.BytesOut += q.BytesOut
	if stateRank(q.State) > stateRank(p.State) {
		p.State = q.State
	}
}

func stateRank(word string) int { return slices.Index(stateWords[:], word) }
