package e2e

import (
	"regexp"
	"testing"
)

// ofClient is fields that a client has no business to send.
var ofClient = []string{
	host, "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1",
	"X-Real-IP: 1.2.3.4", `Forwarded: for=1.2.3.4`, "X-Request-ID: mine-1", "Via: 1.0 mine",
}

// forwarded returns what a server gets of them.
func forwarded(t *testing.T, over transport, frontend string) *message {
	t.Helper()
	back := listen(t, plain)
	client := start(t, setup{over: over, servers: []*origin{back}, frontend: frontend}).dial()
	client.ask("GET / HTTP/1.1", ofClient...)
	m := back.serveOne()
	client.response().want(t, ok)
	return m
}

func (o transport) scheme() string {
	if o == tlsed {
		return "https"
	}
	return "http"
}

func TestForwardedFieldsOfAnybodyAreReplaced(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		forwarded(t, over, "").want(t, "GET / HTTP/1.1",
			"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: "+over.scheme(), "X-Forwarded-Host: a.example",
			"X-Forwarded-Port: 8080", "-X-Real-IP", "-Forwarded", "X-Request-ID: mine-1")
	})
}

// Servers make no difference between a hyphen and an underscore (CGI turns one into the other), and believe more of these
// fields than weir sets.
func TestForwardedFieldsUnderOtherNames(t *testing.T) {
	others := []string{
		host, "X_Forwarded_For: 1.2.3.4", "x-forwarded_proto: gopher", "X-Forwarded-Prefix: /admin", "X-Forwarded-Server: mine",
		"X-Forwarded-Ssl: on", "X_REAL_IP: 1.2.3.4", "X-Forwarded: 1", "X-Forwardedness: 1", "X-Real-IPs: 1", "X_Mine: 1",
	}
	spoofed := []string{"X_Forwarded_For", "x-forwarded_proto", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Ssl", "X_REAL_IP"}
	overBoth(t, func(t *testing.T, over transport) {
		for frontend, there := range map[string]bool{"": false, `forwarded = "forwarded"`: false, `trusted-proxies = ["127.0.0.1"]`: true, `forwarded = "off"`: true} {
			back := listen(t, plain)
			client := start(t, setup{over: over, servers: []*origin{back}, frontend: frontend}).dial()
			client.ask("GET / HTTP/1.1", others...)
			m := back.serveOne()
			client.response().want(t, ok)
			for _, name := range spoofed {
				if m.has(name) != there {
					t.Errorf("%q: %s, there %v:\n%s", frontend, name, m.has(name), m)
				}
			}
			m.want(t, "GET / HTTP/1.1", "X-Forwarded: 1", "X-Forwardedness: 1", "X-Real-IPs: 1", "X_Mine: 1")
		}
	})
}

func TestForwardedFieldsOfATrustedProxyAreExtended(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		forwarded(t, over, `trusted-proxies = ["10.0.0.0/8", "127.0.0.0/8"]`).want(t, "GET / HTTP/1.1",
			"X-Forwarded-For: 1.2.3.4, 127.0.0.1", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 1")
	})
}

func TestForwardedOfRFC7239(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		forwarded(t, over, `forwarded = "forwarded"`).want(t, "GET / HTTP/1.1",
			`Forwarded: for=127.0.0.1;host="a.example";proto=`+over.scheme(), "-X-Forwarded-For", "-X-Forwarded-Proto")
		forwarded(t, over, "forwarded = \"both\"\ntrusted-proxies = [\"127.0.0.1\"]").want(t, "GET / HTTP/1.1",
			`Forwarded: for=1.2.3.4, for=127.0.0.1;host="a.example";proto=`+over.scheme(), "X-Forwarded-For: 1.2.3.4, 127.0.0.1")
	})
}

// Off leaves alone what the client sends.
func TestForwardedOff(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		forwarded(t, over, `forwarded = "off"`).want(t, "GET / HTTP/1.1", "X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4", "X-Real-IP: 1.2.3.4")
	})
}

func TestVia(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, frontend: `via = "edge-1"`})
		client := w.dial()
		client.ask("GET / HTTP/1.0", host, "Via: 1.1 a")
		server := back.accept()
		if via := server.request().get("Via"); via != "1.1 a, 1.0 edge-1" {
			t.Errorf("at the server: %q", via)
		}
		server.answer(ok, append([]string{"Via: 1.1 b"}, hello...)...)
		if via := client.response().get("Via"); via != "1.1 b, 1.1 edge-1" {
			t.Errorf("at the client: %q", via)
		}

		m := forwarded(t, over, `via = ""`)
		if via := m.get("Via"); via != "1.0 mine" {
			t.Errorf("without Via: %q", via)
		}
	})
}

func TestRequestID(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}})
		seen := map[string]bool{}
		for range 3 {
			client := w.dial()
			client.ask("GET / HTTP/1.1", host)
			id := back.serveOne().get("X-Request-ID")
			client.response()
			client.close()
			if seen[id] || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
				t.Errorf("%q", id)
			}
			seen[id] = true
		}
		off := start(t, setup{over: over, servers: []*origin{back}, frontend: "request-id = false"})
		client := off.dial()
		client.ask("GET / HTTP/1.1", host)
		if m := back.serveOne(); m.has("X-Request-ID") {
			t.Error("it has an X-Request-ID")
		}
		client.response()
	})
}
