package stats

import "time"

// Snapshot is everything weir counts, merged over the workers at about one moment. It is plain data: it survives JSON
// unchanged, and its keys are the words of the operator's manual.
type Snapshot struct {
	Time      time.Time         `json:"time"`
	Info      Info              `json:"info"`
	Frontends []FrontendRow     `json:"frontends"`
	Backends  []BackendRow      `json:"backends"`
	Workers   []WorkerRow       `json:"workers"`
	Limits    []LimitRow        `json:"limits"`
	Answers   map[string]uint64 `json:"answers"` // by reason: answers that weir made itself
	Failures  []Failure         `json:"errors"`  // the last ones of each worker, oldest first
}

// Info is about the process. The engine fills it in.
type Info struct {
	Version       string    `json:"version"`
	Revision      string    `json:"revision"`
	GoVersion     string    `json:"go-version"`
	PID           int       `json:"pid"`
	Started       time.Time `json:"started"`
	State         string    `json:"state"` // "starting", "ready", "draining"
	ConfigFile    string    `json:"config-file"`
	Generation    uint64    `json:"generation"`
	LastReload    time.Time `json:"last-reload"` // of the generation in force
	Reloads       uint64    `json:"reloads"`
	ReloadsFailed uint64    `json:"reloads-failed"`
	Workers       int       `json:"workers"`
}

// FrontendRow is a frontend over all workers. The maps have a key for each protocol.
type FrontendRow struct {
	Name              string            `json:"name"`
	Connections       map[string]int64  `json:"connections"`
	ConnectionsTotal  map[string]uint64 `json:"connections-total"`
	Handshakes        map[string]uint64 `json:"tls-handshakes"`
	HandshakesResumed map[string]uint64 `json:"tls-handshakes-resumed"`
	HandshakeFailures map[string]uint64 `json:"tls-handshake-failures"`
	InFlight          int64             `json:"in-flight"`
	BytesIn           uint64            `json:"bytes-in"`
	BytesOut          uint64            `json:"bytes-out"`
	Requests          []RequestRow      `json:"requests"`
}

// RequestRow is the exchanges of a frontend that ended alike. What occurred has a row, and each registered pair has one.
type RequestRow struct {
	Backend  string `json:"backend"`
	Code     string `json:"code"` // class: "2xx"; "none" when no status was sent
	Protocol string `json:"protocol"`
	Count    uint64 `json:"count"`
}

// BackendRow is a backend over all workers.
type BackendRow struct {
	Name            string            `json:"name"`
	QueueLength     int64             `json:"queue-length"`
	QueueRejected   map[string]uint64 `json:"queue-rejected"`
	QueueWait       Histogram         `json:"queue-wait-ns"`
	RequestDuration Histogram         `json:"request-duration-ns"`
	ConnectDuration Histogram         `json:"connect-duration-ns"`
	RequestsPerConn Histogram         `json:"requests-per-connection"`
	Retries         []RetryRow        `json:"retries"`
	Servers         []ServerRow       `json:"servers"`
}

// RetryRow is the retries of a backend that had one reason and one outcome. Only what occurred has a row.
type RetryRow struct {
	Reason  string `json:"reason"`
	Outcome string `json:"outcome"`
	Count   uint64 `json:"count"`
}

// ServerRow is a server over all workers, and its shards.
type ServerRow struct {
	Backend string `json:"backend"`
	Name    string `json:"server"`
	Address string `json:"address"` // filled in by the engine
	Weight  int    `json:"weight"`
	Pool
	OpenedWhy   map[string]uint64 `json:"opened-why"`   // has every key
	ClosedCause map[string]uint64 `json:"closed-cause"` // has every key
	Errors      map[string]uint64 `json:"errors"`       // has every key
	Idle        []int64           `json:"idle"`         // by worker
	Shards      []Pool            `json:"shards"`       // by worker
}

// Pool is one shard of a server's pool, or the sum of all.
type Pool struct {
	State      string `json:"state"`
	Used       int64  `json:"used"`
	IdleSafe   int64  `json:"idle-safe"`
	IdleFresh  int64  `json:"idle-fresh"`
	Private    int64  `json:"private"`
	Need       int64  `json:"need"`
	Limit      int64  `json:"limit"` // 0 unlimited; the same for every shard, since it bounds their sum
	Opened     uint64 `json:"opened"`
	Reused     uint64 `json:"reused"`
	TakenOver  uint64 `json:"taken-over"`
	Closed     uint64 `json:"closed"`
	Connecting int64  `json:"connecting"`
	Draining   int64  `json:"draining"`
	InFlight   int64  `json:"in-flight"`
	Requests   uint64 `json:"requests"`
	GivenAway  uint64 `json:"given-away"`
	BytesIn    uint64 `json:"bytes-in"`
	BytesOut   uint64 `json:"bytes-out"`
}

// WorkerRow is one worker's account of itself.
type WorkerRow struct {
	ID           int       `json:"worker"`
	Connections  int64     `json:"connections"`
	Loop         Histogram `json:"loop-ns"`
	Turns        uint64    `json:"turns"`
	Events       uint64    `json:"events"`
	Sleeps       uint64    `json:"sleeps"`
	MailIn       uint64    `json:"mail-in"`
	MailOut      uint64    `json:"mail-out"`
	LogLines     uint64    `json:"log-lines"`
	LogDropped   uint64    `json:"log-dropped"`
	AcceptErrors uint64    `json:"accept-errors"`
}

// LimitRow is one axis of one attachment of a limit profile. The engine fills the rows in from the counter table.
type LimitRow struct {
	Level   string `json:"level"` // "global", "frontend", "backend"
	Name    string `json:"name"`  // of the frontend or backend; "" for the process
	Profile string `json:"profile"`
	Axis    string `json:"axis"`
	Current int64  `json:"current"` // for a rate: what was let through during the last second
	Max     int64  `json:"max"`     // 0: off
	Hits    uint64 `json:"hits"`
}

// Session is one client connection, as `weir show sessions` lists it.
type Session struct {
	ID         uint64        `json:"id"`
	Worker     int           `json:"worker"`
	Generation uint64        `json:"generation"` // of the configuration it runs with
	Frontend   string        `json:"frontend"`
	Client     string        `json:"client"`
	Protocol   string        `json:"protocol"`
	TLS        string        `json:"tls"`   // version, or "" on cleartext
	State      string        `json:"state"` // "handshake", "idle", "request", "queued", "response", "tunnel", "draining"
	Age        time.Duration `json:"age-ns"`
	Idle       time.Duration `json:"idle-ns"`
	InFlight   int64         `json:"in-flight"`
	Requests   uint64        `json:"requests"`
	Backend    string        `json:"backend"` // of the exchange in flight, if there is one
	Server     string        `json:"server"`
	BytesIn    uint64        `json:"bytes-in"`
	BytesOut   uint64        `json:"bytes-out"`
}

// Frontend returns the frontend's row, or nil.
func (s *Snapshot) Frontend(name string) *FrontendRow {
	for i := range s.Frontends {
		if s.Frontends[i].Name == name {
			return &s.Frontends[i]
		}
	}
	return nil
}

// Backend returns the backend's row, or nil.
func (s *Snapshot) Backend(name string) *BackendRow {
	for i := range s.Backends {
		if s.Backends[i].Name == name {
			return &s.Backends[i]
		}
	}
	return nil
}

// Server returns the server's row, or nil.
func (b *BackendRow) Server(name string) *ServerRow {
	for i := range b.Servers {
		if b.Servers[i].Name == name {
			return &b.Servers[i]
		}
	}
	return nil
}
