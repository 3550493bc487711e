package tlsio

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"
)

// Tickets are encrypted by crypto/tls (AES-CTR and HMAC-SHA256, fresh IV) with keys that are derived here:
//
//	secret (rotating, or a line of a file) ──HKDF──► key of one certificate, one client policy, one transport
//
// so that a ticket opens only where the same certificate is presented and the same is demanded of clients. Another
// virtual host, another CA after a reload or another client-auth cannot open it, whatever the ticket says.

// Rotation in memory: a secret makes new tickets for ticketPeriod and opens old ones for ticketKept periods more. A
// stolen memory image opens no session older than that (RFC 8446 appendix F.1 asks for regular deletion).
const (
	ticketPeriod = 12 * time.Hour
	ticketKept   = 2
)

type ticketSecret = []byte

// ticketSource yields secrets, newest first. epoch changes whenever the list does.
type ticketSource interface {
	current(now time.Time) (epoch uint64, secrets []ticketSecret)
}

// TicketStore makes and rotates the secrets of session tickets in memory. There is one for the process: it outlives every
// configuration, so that a reload loses the sessions only of what it changed. Any goroutine may use it.
type TicketStore struct {
	mu    sync.Mutex
	state atomic.Pointer[ticketEpoch]
}

type ticketEpoch struct {
	number  uint64
	until   time.Time
	secrets []ticketSecret
}

// NewTicketStore returns a store that makes its first secret when it is needed.
func NewTicketStore() *TicketStore { return new(TicketStore) }

func (s *TicketStore) current(now time.Time) (uint64, []ticketSecret) {
	e := s.state.Load()
	if e == nil || !now.Before(e.until) {
		e = s.rotate(now)
	}
	return e.number, e.secrets
}

// rotate replaces what has expired. After a pause of several periods nothing old is kept: it would be older than promised.
func (s *TicketStore) rotate(now time.Time) *ticketEpoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state.Load()
	if old != nil && now.Before(old.until) {
		return old
	}
	secret := make(ticketSecret, sha256.Size)
	rand.Read(secret) // never fails
	e := &ticketEpoch{number: 1, until: now.Add(ticketPeriod), secrets: []ticketSecret{secret}}
	if old != nil {
		e.number = old.number + 1
		missed := int(now.Sub(old.until) / ticketPeriod)
		e.secrets = append(e.secrets, old.secrets[:min(len(old.secrets), max(0, ticketKept-missed))]...)
	}
	s.state.Store(e)
	return e
}

// fixedKeys are the secrets of a file. Another content makes another configuration.
type fixedKeys struct{ secrets []ticketSecret }

func (f *fixedKeys) current(time.Time) (uint64, []ticketSecret) { return 1, f.secrets }

// ticketUse names what a ticket is good for, as the info of the derivation (RFC 5869 section 3.2).
func ticketUse(c *hostCert, policy [sha256.Size]byte, transport string) string {
	return "weir session ticket 1\x00" + transport + "\x00" + string(c.id[:]) + string(policy[:])
}

// ticketKeys are the keys of one use. They are derived again when the secrets rotate. Workers share them.
type ticketKeys struct {
	source ticketSource
	now    func() time.Time
	use    string
	ready  atomic.Pointer[readyKeys]
}

// readyKeys holds the keys of an epoch in a tls.Config that serves for nothing but EncryptTicket and DecryptTicket.
type readyKeys struct {
	epoch uint64
	cfg   *tls.Config
}

func (t *ticketKeys) config() *tls.Config {
	epoch, secrets := t.source.current(t.now())
	if r := t.ready.Load(); r != nil && r.epoch == epoch {
		return r.cfg
	}
	keys := make([][32]byte, len(secrets))
	for i, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, t.use, len(keys[i]))
		if err != nil {
			panic("tlsio: a ticket key cannot be derived: " + err.Error())
		}
		keys[i] = [32]byte(key)
	}
	r := &readyKeys{epoch: epoch, cfg: new(tls.Config)}
	r.cfg.SetSessionTicketKeys(keys)
	t.ready.Store(r)
	return r.cfg
}

// wrap is tls.Config.WrapSession.
func (t *ticketKeys) wrap(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
	return t.config().EncryptTicket(cs, ss)
}

// unwrap is tls.Config.UnwrapSession. A ticket that does not open makes a full handshake, never an error.
func (t *ticketKeys) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	return t.config().DecryptTicket(identity, cs)
}
