package e2e

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// returner is a client that remembers its sessions and tries the last of them wherever it goes, as a hostile one would.
type returner struct {
	w *weir

	kept *sessionsKept
	cfg  func(*tls.Config)
}

func newReturner(w *weir, v uint16) *returner {
	remember, kept := remembers(v)
	kept.any = true
	return &returner{w: w, kept: kept, cfg: remember}
}

// visit shakes hands at a port and asks for something, which brings the tickets of TLS 1.3.
func (c *returner) visit(t *testing.T, why, port, name string, resumed bool, change ...func(*tls.Config)) {
	t.Helper()
	blind := func(c *tls.Config) { c.InsecureSkipVerify = true } // else it would not offer the session of another host
	p := c.w.dialRaw(port)
	p.t = t
	p.conn = secured(t, p.conn, asClient(name, append(change, c.cfg, blind)...))
	if p.state().DidResume != resumed {
		t.Errorf("%s: resumed %v", why, p.state().DidResume)
	}
	p.get(t, name, "/")
	p.close()
}

// refused offers what it has and must not be served.
func (c *returner) refused(t *testing.T, why, port, name string, change ...func(*tls.Config)) {
	t.Helper()
	p := c.w.dialRaw(port)
	s := tls.Client(p.conn, asClient(name, append(change, c.cfg, func(c *tls.Config) { c.InsecureSkipVerify = true })...))
	q := newPeer(t, s)
	_ = q.trySend("GET / HTTP/1.1\r\n" + host + "\r\n\r\n")
	q.drain()
	if len(q.in) > 0 || q.err == nil || !strings.Contains(q.err.Error(), "remote error: tls:") {
		t.Errorf("%s: not refused with an alert, but %q, %v", why, clip(q.in), q.err)
	}
	p.close()
}

// members is two listeners more: one that demands certificates of one CA, with the same certificate of ours as the first
// listener, and one that demands those of another CA, with another.
const members = `
[tls.members]
certificates = [{ cert = "$FILES/site.pem", key = "$FILES/site.key" }]
client-auth = "require"
client-ca = "$FILES/ca.pem"
$KEYS
[frontend.members]
bind = [{ address = "$HOST:8081", tls = "members" }]
backend = "api"

[tls.strangers]
certificates = [{ cert = "$FILES/other.pem", key = "$FILES/other.key" }]
client-auth = "require"
client-ca = "$FILES/other-ca.pem"
$KEYS
[frontend.strangers]
bind = [{ address = "$HOST:8082", tls = "strangers" }]
backend = "api"

[tls.both]
certificates = [{ cert = "$FILES/site.pem", key = "$FILES/site.key" }, { cert = "$FILES/other.pem", key = "$FILES/other.key" }]
client-auth = "require"
client-ca = "$FILES/ca.pem"
$KEYS
[frontend.both]
bind = [{ address = "$HOST:8083", tls = "both" }]
backend = "api"
`

// A session in which a client has proven who it is opens nothing but the host it was made for: no other virtual host, no
// listener that demands other certificates, though the machine and even the secret are the same, and nothing once a reload
// has changed whom the host trusts. Nor does a session without a certificate open a host that demands one.
func TestTLSSessionsOfClientsWithCertificates(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		for _, keys := range []string{"", `ticket-keys = "$DIR/tickets"`} {
			table := site("site") + keys + "\n"
			s := behind(table, setup{servers: []*origin{httpOrigin(t, sayHello)}, tables: strings.ReplaceAll(members, "$KEYS", keys)})
			w := startWithTickets(t, s)
			client := func() *returner { return newReturner(w, v) }
			member, stranger := asMember("client"), asMember("stranger")

			c := client()
			c.visit(t, "a member's first visit", "8081", "a.example", false, member)
			c.visit(t, "a member's second visit", "8081", "a.example", true, member)
			c.visit(t, "a member where nobody is asked", "8080", "a.example", false)

			c = client()
			c.visit(t, "somebody where nobody is asked", "8080", "a.example", false)
			c.refused(t, "a session without a certificate where one is demanded", "8081", "a.example")

			c = client()
			c.visit(t, "a member", "8081", "a.example", false, member)
			c.refused(t, "a member where strangers are trusted", "8082", "b.example", member)
			c = client()
			c.visit(t, "a stranger", "8082", "b.example", false, stranger)
			c.refused(t, "a stranger where members are trusted", "8081", "a.example", stranger)

			// Two hosts of one listener, that trust the same CA: each wants to see the certificate itself.
			c = client()
			c.visit(t, "one host", "8083", "a.example", false, member)
			c.visit(t, "the other host", "8083", "b.example", false, member)
			c = client()
			c.visit(t, "one host", "8083", "a.example", false, member)
			c.refused(t, "the other host, without showing it", "8083", "b.example")

			c = client()
			c.visit(t, "before the reload", "8081", "a.example", false, member)
			w.rewrite(func(s *setup) { s.tables = strings.Replace(s.tables, "/ca.pem", "/other-ca.pem", 1) })
			w.reload()
			c.refused(t, "a session of before, with a certificate that was good", "8081", "a.example", member)
			w.rewrite(func(s *setup) { s.tables = strings.Replace(s.tables, "/other-ca.pem", "/ca.pem", 1) })
			w.reload()
			c.visit(t, "trusted again", "8081", "a.example", true, member)
		}
	})
}

// startWithTickets is start with a file of ticket keys in $DIR.
func startWithTickets(t *testing.T, s setup) *weir {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tickets")
	if err := os.WriteFile(file, []byte(strings.Repeat("Weir", 16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tables = strings.ReplaceAll(s.tables, "$DIR/tickets", file)
	return start(t, s)
}

// Sessions outlive the process where the keys of tickets come from a file, and open the same host of another machine that
// has the file. Keys that were kept in memory go with it, and cost a full handshake.
func TestTLSSessionsAcrossProcesses(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		for _, keys := range []string{`ticket-keys = "$DIR/tickets"`, ""} {
			fixed := keys != ""
			s := behind(site("site", "other")+keys+"\n", setup{servers: []*origin{httpOrigin(t, sayHello)}})
			w := startWithTickets(t, s)
			c := newReturner(w, v)
			c.visit(t, "first", "8080", "a.example", false)
			c.visit(t, "second", "8080", "a.example", true)

			machine := startWithTickets(t, s)
			c.w = machine
			c.visit(t, "at another machine", "8080", "a.example", fixed)
			c.visit(t, "another host of it", "8080", "b.example", false)

			c = newReturner(w, v)
			c.visit(t, "before the upgrade", "8080", "a.example", false)
			w.told = true // it will end by itself
			w.done("upgrade")
			w.wantEnd()
			c.visit(t, "after the upgrade", "8080", "a.example", fixed)
			c.visit(t, "again", "8080", "a.example", true)
			w.done("drain")
			eventually(t, "both processes have ended", func() bool { return strings.Count(w.log.String(), "msg=over") == 2 })
		}
	})
}
