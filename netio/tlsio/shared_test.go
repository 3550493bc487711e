package tlsio

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Workers share configurations, ticket keys and sessions. The race detector watches while keys rotate under them.
func TestWorkersShareConfigurations(t *testing.T) {
	ca, clock := newAuthority(t, "test CA"), newClock()
	store, sessions := NewTicketStore(), NewSessionStore(3)
	forever := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(1000 * time.Hour) }
	src := ca.issue(t, "p256", forever, "a.example", "b.example")
	server := serverConfig(t, &ServerOptions{Tickets: store, Now: clock.now, Certificates: []CertSource{src}})
	client := clientConfig(t, &ClientOptions{Verify: VerifyNone, Sessions: sessions, Now: clock.now})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := newWorker(new(sockets))
			for i := range 40 {
				fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
				if err != nil {
					t.Error(err)
					return
				}
				c, s := w.Client(fds[0], client.Peer("s", []string{"a.example", "b.example"}[i%2], "")), w.Server(fds[1], server)
				for range 10 {
					c.Handshake()
					s.Handshake()
				}
				if done, _, err := s.Handshake(); !done {
					t.Errorf("handshake %d: %v", i, err)
				} else if s.State().Version != tls.VersionTLS13 {
					t.Errorf("version %x", s.State().Version)
				}
				c.Recv(make([]byte, 1))
				c.Close()
				s.Close()
				unix.Close(fds[0])
				unix.Close(fds[1])
				if i%10 == 0 {
					clock.advance(ticketPeriod)
				}
			}
		})
	}
	wg.Wait()
	if e := store.state.Load(); e.number < 3 {
		t.Errorf("%d epochs", e.number)
	}
}
