package e2e

import "testing"

func TestH2Request(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		rec := newRecorder(t)
		w := start(t, setup{over: over, servers: []*origin{rec.origin}})
		for range 20 {
			client := w.dialH2(t)
			client.get(1, "/a")
			s := client.whole(1)
			if s.get(":status") != "200" || s.get("x-echo") != "/a" || string(s.body) != "GET /a\n" {
				t.Fatalf("%v %q", s.fields, s.body)
			}
			_ = client.conn.Close()
		}
	})
}
