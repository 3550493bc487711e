package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// witness is a server over TLS that says in its response what it saw of weir's handshake.
func witness(t *testing.T, change func(*tls.Config)) *origin {
	t.Helper()
	o := goOrigin(t, protocols{over: tlsed, h1: true, tls: change}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-SNI", r.TLS.ServerName)
		h.Set("X-Resumed", fmt.Sprint(r.TLS.DidResume))
		h.Set("X-Conn", r.RemoteAddr)
		for _, c := range r.TLS.PeerCertificates {
			h.Add("X-Client", c.Subject.CommonName)
		}
		if r.URL.Path == "/close" {
			h.Set("Connection", "close")
		}
		sayHello(w, r)
	}))
	o.tls = nil // what the configuration says of it is the test's to write
	return o
}

func with(certificate string) func(*tls.Config) {
	return func(c *tls.Config) { c.Certificates = []tls.Certificate{keyPair(certificate)} }
}

func TestTLSServerVerification(t *testing.T) {
	t.Parallel()
	const trusted, fails = `ca = "$FILES/ca.pem"`, "HTTP/1.1 503 Service Unavailable"
	for _, c := range []struct{ what, certificate, tls, want string }{
		{"chain and name", "server", `sni = "a.example", ` + trusted, ok},
		{"another name", "other", `sni = "a.example", ` + trusted, fails},
		{"another CA", "stranger", `sni = "a.example", ` + trusted, fails},
		{"another CA, none of ours given", "server", `sni = "a.example"`, fails},
		{"chain only, another name", "other", `sni = "a.example", verify = "ca", ` + trusted, ok},
		{"chain only, another CA", "stranger", `sni = "a.example", verify = "ca", ` + trusted, fails},
		{"nothing, another CA and name", "stranger", `sni = "b.example", verify = "none"`, ok},
		{"the host's name", "server", trusted, ok},
		{"the host's name, which it has not", "other", trusted, fails},
		{"no SNI: the address, which it has not", "server", `sni = "", ` + trusted, fails},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			back := witness(t, with(c.certificate))
			w := start(t, setup{
				over: plain, servers: []*origin{back}, backend: "limits = \"few\"\ntls = { enabled = true, " + c.tls + " }",
				tables: "[limits.few]\nmax-retries = 1",
			})
			client := w.dial()
			client.ask("GET / HTTP/1.1", host)
			m := client.response()
			m.want(t, c.want)
			if c.want == fails {
				m.want(t, fails, `Proxy-Status: weir; error=tls_protocol_error; details="connect-failed"`)
				if out := w.done("show", "errors"); !strings.Contains(out, "tls_protocol_error") {
					t.Errorf("an operator cannot tell that it was TLS:\n%s", out)
				}
			}
		})
	}
}

func TestTLSServerName(t *testing.T) {
	t.Parallel()
	for sni, want := range map[string][2]string{
		`sni = "a.example", `: {"a.example", "a.example"}, "": {"www.a.example", "b.example"}, `sni = "", verify = "none", `: {"", ""},
	} {
		t.Run(sni, func(t *testing.T) {
			t.Parallel()
			back := witness(t, with("server"))
			client := start(t, setup{
				over: plain, servers: []*origin{back}, backend: "reuse = \"always\"\ntls = { enabled = true, " + sni + `ca = "$FILES/ca.pem" }`,
			}).dial()
			conns := map[string]bool{}
			for range 2 {
				for i, name := range []string{"www.a.example", "b.example:8443"} {
					m := client.get(t, name, "/")
					if got := m.get("X-SNI"); got != want[i] {
						t.Errorf("%s: SNI %q, want %q", name, got, want[i])
					}
					conns[m.get("X-Conn")] = true
				}
			}
			if distinct := map[bool]int{true: 1, false: 2}[want[0] == want[1]]; len(conns) != distinct {
				t.Errorf("%d connections: one for each name that is sent, %d, are due", len(conns), distinct)
			}
		})
	}
}

// Where the SNI follows the request's host, nobody knows it before the first request. Connections are kept warm and servers
// are checked nevertheless, and from then on by the name that a server was reached by.
func TestTLSServerNameBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	back := witness(t, with("server")) // the certificate of which does not have its address
	w := start(t, setup{
		over: plain, servers: []*origin{back},
		backend: "reuse = \"always\"\npool-warm-conn = 3\ntls = { enabled = true, ca = \"$FILES/ca.pem\" }",
	})
	w.wantMetric(3, "weir_server_connections", "state", "idle")
	client := w.dial()
	client.get(t, "www.a.example", "/")
	w.wantMetric(3, "weir_server_connections_closed_total", "cause", "evicted")
	w.wantMetric(3, "weir_server_connections", "state", "idle")
	first := client.get(t, "www.a.example", "/close").get("X-Conn")
	m := client.get(t, "www.a.example", "/")
	if m.get("X-SNI") != "www.a.example" || m.get("X-Conn") == first {
		t.Errorf("the next connection: %s", m)
	}
	w.wantMetric(1, "weir_server_connections_opened_total", "why", "demand")
	w.wantMetric(0, "weir_server_errors_total")
}

func TestTLSChecksBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	for _, health := range []string{"tcp = true", `path = "/"`} {
		good, bad := witness(t, with("server")), witness(t, with("stranger"))
		w := start(t, setup{
			over: plain, servers: []*origin{good, bad},
			backend: "health = { " + health + ", interval = \"20ms\", fall = 1 }\ntls = { enabled = true, ca = \"$FILES/ca.pem\" }",
		})
		w.wantMetric(1, "weir_server_state", "server", "s2", "state", "down") // its certificate is nobody's whom we believe
		client := w.dial()
		for range 4 {
			client.get(t, "www.a.example", "/")
		}
		w.wantMetric(1, "weir_server_state", "server", "s1", "state", "ready")
		w.wantMetric(0, "weir_server_errors_total", "server", "s1")
	}
}

func TestTLSCertificateForServers(t *testing.T) {
	t.Parallel()
	back := witness(t, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, roots })
	tlsKeys := func(more string) string {
		return `tls = { enabled = true, sni = "a.example", ca = "$FILES/ca.pem"` + more + " }"
	}
	w := start(t, setup{over: plain, servers: []*origin{back}, backend: tlsKeys(`, cert = "$FILES/client.pem", key = "$FILES/client.key"`)})
	if got := w.dial().get(t, "a.example", "/").get("X-Client"); got != "client.example" {
		t.Errorf("the server saw the certificate of %q", got)
	}
	for what, more := range map[string]string{"none": "", "a stranger's": `, cert = "$FILES/stranger.pem", key = "$FILES/stranger.key"`} {
		w := start(t, setup{over: plain, servers: []*origin{back}, backend: tlsKeys(more)})
		client := w.dial()
		client.ask("GET / HTTP/1.1", host)
		if s := client.response().status(); s/100 != 5 { // in TLS 1.3 the refusal comes behind the handshake
			t.Errorf("%s: %d", what, s)
		}
	}
}

// Sessions with servers are remembered, over reloads too, and not mixed up between names.
func TestTLSSessionsWithServers(t *testing.T) {
	eachVersion(t, func(t *testing.T, v uint16) {
		back := witness(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = v, v })
		keys := "reuse = \"never\"\ntls = { enabled = true, ca = \"$FILES/ca.pem\" }\n"
		w := start(t, setup{over: plain, servers: []*origin{back}, backend: keys})
		ask := func(name, want string) {
			t.Helper()
			client := w.dial()
			if got := client.get(t, name, "/close").get("X-Resumed"); got != want {
				t.Errorf("%s: resumed %s, want %s", name, got, want)
			}
			client.close()
		}
		ask("a.example", "false")
		ask("a.example", "true")
		ask("b.example", "false")
		ask("b.example", "true")
		w.rewrite(func(s *setup) { s.backend = keys + "max-errors = 4\n" })
		w.reload()
		ask("a.example", "true")
		// What else is demanded of a server's certificate was not demanded when the session began.
		w.rewrite(func(s *setup) { s.backend = strings.Replace(keys, "ca = ", `verify = "ca", ca = `, 1) })
		w.reload()
		ask("a.example", "false")
		w.rewrite(func(s *setup) { s.backend = "session-cache = 0\n" + keys })
		w.reload()
		ask("a.example", "false")
		ask("a.example", "false")
	})
}
