package tlsio

import "testing"

func TestSecret(t *testing.T) {
	ca := newAuthority(t, "test CA")
	source := ca.issue(t, "p256", nil, "a.example")
	config := func(c ...CertSource) *ServerConfig {
		return serverConfig(t, &ServerOptions{Tickets: NewTicketStore(), Certificates: c})
	}
	secret := func(c *ServerConfig, purpose string) [32]byte {
		t.Helper()
		key, ok := c.Secret([]byte(purpose))
		if !ok || key == [32]byte{} {
			t.Fatal("no secret")
		}
		return key
	}
	one := config(source)
	if secret(one, "p") != secret(config(source, ca.issue(t, "rsa", nil, "b.example")), "p") {
		t.Error("the same certificate has given two secrets")
	}
	if secret(one, "p") == secret(one, "q") {
		t.Error("two purposes have one secret")
	}
	if secret(one, "p") == secret(config(ca.issue(t, "p256", nil, "a.example")), "p") {
		t.Error("two keys have one secret")
	}
}
