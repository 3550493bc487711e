package e2e

import "testing"

func TestRoutes(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		api, static, deep := listen(t, plain), listen(t, plain), listen(t, plain)
		w := start(t, setup{over: over, servers: []*origin{api}, frontend: `routes = [
  { host = "static.a.example", path-prefix = "/img/", backend = "static" },
  { path-prefix = "/deep/er", backend = "deep" },
  { host = "*.a.example", path-prefix = "/any", backend = "static" },
  { host = "empty.a.example", backend = "empty" },
]`, tables: `
[backend.static]
servers = [{ name = "s1", address = "` + static.addr + `" }]
[backend.deep]
servers = [{ name = "s1", address = "` + deep.addr + `" }]
[backend.empty]
servers = []
`})
		client := w.dial()
		to := func(back *origin, target, host string) {
			t.Helper()
			client.ask("GET "+target+" HTTP/1.1", "Host: "+host, "Connection: close")
			back.serve()
			client.response().want(t, ok, "", "hello")
			client = w.dial() // the next one finds no connection that is shared
		}
		to(static, "/img/a.png", "static.a.example")
		to(static, "/img/a.png", "STATIC.a.example:8080") // without case and port
		to(static, "/img/a.png?x=/deep/er", "static.a.example")
		to(api, "/img", "static.a.example") // byte by byte
		to(api, "/img/a.png", "a.example")
		to(deep, "/deep/er", "static.a.example")
		to(deep, "/deep/erx", "b.example")
		to(api, "/deep/", "b.example")
		to(static, "/anything", "x.y.a.example")
		to(api, "/anything", "a.example") // not below itself
		to(deep, "http://static.a.example/deep/er", "static.a.example")

		client.ask("GET / HTTP/1.1", "Host: empty.a.example")
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", `Proxy-Status: weir; error=destination_unavailable; details="no-server"`)
		w.wantMetric(4, "weir_requests_total", "backend", "static", "code", "2xx")
		w.wantMetric(1, "weir_requests_total", "backend", "empty", "code", "5xx")
	})
}

// A frontend without a backend of its own answers what no route takes.
func TestNoRoute(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		w := start(t, setup{over: over, servers: []*origin{back}, tables: `
[frontend.other]
bind = [{ address = "$HOST:8081"` + over.bind() + ` }]
routes = [{ path-prefix = "/api", backend = "api" }]
`})
		client := w.dialPort("8081")
		client.ask("GET / HTTP/1.1", host)
		client.response().want(t, "HTTP/1.1 503 Service Unavailable", `Proxy-Status: weir; error=destination_unavailable; details="no-server"`)
		client.ask("GET /api HTTP/1.1", host)
		back.serve()
		client.response().want(t, ok)
	})
}
