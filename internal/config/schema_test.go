package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// otherValue gives for each key a value that is not its default, and the tables around it that it needs. The test below
// fails for a key that is missing here, and for a key that is read without an effect on the configuration.
var otherValue = map[string]string{
	"[global] workers": "3", "[global] pin-cpus": "false", "[global] limits": `"l"`, "[global] runtime-socket": `"/x"`,
	"[global] admin": `""`, "[global] hard-stop-after": `"1s"`, "[global] access-log": `"stderr"`, "[global] log-level": `"warn"`,

	"[limits.NAME] max-conn": "1", "[limits.NAME] max-conn-rate": "1", "[limits.NAME] max-sess-rate": "1",
	"[limits.NAME] rate-limit-sessions": "1", "[limits.NAME] max-ssl-conn": "1", "[limits.NAME] max-ssl-rate": "1",
	"[limits.NAME] max-buffer-size": `"16KiB"`, "[limits.NAME] max-retries": "1", "[limits.NAME] queue-depth": "1",
	"[limits.NAME] queue-timeout": `"1s"`,

	"[timeouts.NAME] http-request": `"7s"`, "[timeouts.NAME] http-keep-alive": `"7s"`, "[timeouts.NAME] client": `"7s"`,
	"[timeouts.NAME] client-fin": `"7s"`, "[timeouts.NAME] server-fin": `"7s"`, "[timeouts.NAME] connect": `"7s"`,
	"[timeouts.NAME] queue": `"7s"`, "[timeouts.NAME] server": `"7s"`, "[timeouts.NAME] tunnel": `"7s"`,
	"[timeouts.NAME] tcp-keepalive": `"1s/1s/1"`,

	"[frontend.NAME] bind": `[{ address = "127.0.0.1:82" }]`, "[frontend.NAME] backend": `"b2"`,
	"[frontend.NAME] routes": `[{ backend = "b2" }]`, "[frontend.NAME] limits": `"l"`, "[frontend.NAME] timeouts": `"t"`,
	"[frontend.NAME] h2-max-concurrent-streams": "1", "[frontend.NAME] max-head-size": `"4KiB"`, "[frontend.NAME] forwarded": `"off"`,
	"[frontend.NAME] trusted-proxies": `["10.0.0.0/8"]`, "[frontend.NAME] accept-proxy": "true",
	"[frontend.NAME] error-pages": `{ 503 = "small.toml" }`, "[frontend.NAME] via": `"x"`, "[frontend.NAME] request-id": "false",
	"[frontend.NAME] retry-after": `"7s"`,

	"bind address": `"127.0.0.1:83"`, "bind alpn": `["h2"]`,
	"routes host": `"h"`, "routes path-prefix": `"/p"`, "routes backend": `"b2"`,

	"[backend.NAME] servers": `[{ name = "z", address = "127.0.0.1:99" }]`, "[backend.NAME] balance": `"least-conn"`,
	"[backend.NAME] reuse": `"always"`, "[backend.NAME] reuse-methods": `"all"`, "[backend.NAME] reuse-first-request": `"any"`,
	"[backend.NAME] multiplex": "false", "[backend.NAME] forward-close": "false\nmultiplex = false",
	"[backend.NAME] persistence": `{ type = "cookie" }`, "[backend.NAME] pool-low-conn": "1", "[backend.NAME] pool-max-conn": "1",
	"[backend.NAME] pool-purge-delay": `"7s"`, "[backend.NAME] pool-warm-conn": "1", "[backend.NAME] max-reuse": "2",
	"[backend.NAME] pool-max-age": `"7s"`, "[backend.NAME] idle-ping": `"7s"`, "[backend.NAME] max-errors": "7",
	"[backend.NAME] slow-start": `"7s"`, "[backend.NAME] session-cache": "7", "[backend.NAME] resolve": `"7s"`,
	"[backend.NAME] h2": `"h2c"`, "[backend.NAME] tls": "{ enabled = true }", "[backend.NAME] source": `"client"`,
	"[backend.NAME] send-proxy": `"v1"`, "[backend.NAME] health": `{ path = "/" }`, "[backend.NAME] limits": `"l"`,
	"[backend.NAME] timeouts": `"t"`, "[backend.NAME] early-hints": `["</a>; rel=preload"]`,

	"servers name": `"other"`, "servers address": `"127.0.0.1:98"`, "servers weight": "7", "servers max-conn": "7",
	"persistence type": `"source-ip"`, "persistence name": `"N"` + ", type = \"cookie\"",
	"tls (of a backend) enabled": "true", "tls (of a backend) sni": `"s.example"`, "tls (of a backend) verify": `"none"`,
	"health path": `"/p"`, "health tcp": "true", "health interval": `"7s"`, "health rise": "7", "health fall": "7",
}

// needsFiles are the keys that TestCertificates and its like are about.
var needsFiles = map[string]bool{
	"[tls.NAME] certificates": true, "[tls.NAME] min-version": true, "[tls.NAME] client-auth": true, "[tls.NAME] client-ca": true,
	"[tls.NAME] ticket-keys": true, "certificates cert": true, "certificates key": true, "certificates ocsp": true,
	"bind tls": true, "bind h3": true, "tls (of a backend) ca": true, "tls (of a backend) cert": true, "tls (of a backend) key": true,
}

// place writes a file in which one key stands in its table, or a file with the table and without the key.
func place(section, assignment string) string {
	tables := map[string]string{
		"[global]": "", "[limits.NAME]": "", "[timeouts.NAME]": "",
		"[frontend.NAME]": "bind = [{ address = \"127.0.0.1:81\" }]\nbackend = \"b\"\n",
		"[backend.NAME]":  "servers = [{ name = \"s\", address = \"127.0.0.1:90\" }]\n",
	}
	inside := func(table, key, rest string) {
		parts := []string{}
		for _, p := range []string{rest, assignment} {
			if p != "" {
				parts = append(parts, p)
			}
		}
		line := key + " = { " + strings.Join(parts, ", ") + " }\n"
		if rest != "" && assignment != "" && strings.HasPrefix(rest, strings.Fields(assignment)[0]+" ") {
			line = key + " = { " + assignment + " }\n"
		}
		if key == "bind" || key == "routes" || key == "servers" {
			line = strings.Replace(strings.Replace(line, "{", "[{", 1), "}\n", "}]\n", 1)
			var kept []string
			for _, l := range strings.SplitAfter(tables[table], "\n") {
				if !strings.HasPrefix(l, key+" =") {
					kept = append(kept, l)
				}
			}
			tables[table] = strings.Join(kept, "")
		}
		tables[table] += line
	}
	replace := func(table string) {
		key := strings.Fields(assignment)[0]
		var kept []string
		for _, l := range strings.SplitAfter(tables[table], "\n") {
			if !strings.HasPrefix(l, key+" =") {
				kept = append(kept, l)
			}
		}
		tables[table] = strings.Join(kept, "") + assignment + "\n"
	}
	switch section {
	case "bind":
		inside("[frontend.NAME]", "bind", `address = "127.0.0.1:81"`)
	case "routes":
		inside("[frontend.NAME]", "routes", `backend = "b"`)
	case "servers":
		inside("[backend.NAME]", "servers", `address = "127.0.0.1:90"`)
	case "persistence", "health":
		inside("[backend.NAME]", section, "")
	case "tls (of a backend)":
		inside("[backend.NAME]", "tls", "")
	default:
		if assignment != "" {
			replace(section)
		}
	}
	return fmt.Sprintf("[global]\n%s[limits.l]\n%s[timeouts.t]\n%s[frontend.f]\n%s[backend.b]\n%s[backend.b2]\n",
		tables["[global]"], tables["[limits.NAME]"], tables["[timeouts.NAME]"], tables["[frontend.NAME]"], tables["[backend.NAME]"])
}

func TestEveryKeyHasAnEffect(t *testing.T) {
	for _, s := range Schema() {
		for _, k := range s.Keys {
			name := s.Name + " " + k.Name
			if needsFiles[name] {
				continue
			}
			v, ok := otherValue[name]
			if !ok {
				t.Errorf("%s: the test knows no value for it", name)
				continue
			}
			without, r := parse("x", []byte(place(s.Name, "")), "testdata/good", testNow)
			if !r.OK() {
				t.Fatalf("%s: %v\n%s", name, r.Err(), place(s.Name, ""))
			}
			with, r := parse("x", []byte(place(s.Name, k.Name+" = "+v)), "testdata/good", testNow)
			if !r.OK() {
				t.Errorf("%s: %v\n%s", name, r.Err(), place(s.Name, k.Name+" = "+v))
				continue
			}
			if with.WriteTOML() == without.WriteTOML() {
				t.Errorf("%s = %s changes nothing", name, v)
			}
		}
	}
}

func TestDefaultsAreAccepted(t *testing.T) {
	for _, s := range Schema() {
		for _, k := range s.Keys {
			if needsFiles[s.Name+" "+k.Name] || k.Default == "" || k.Name == "name" {
				continue
			}
			without, _ := parse("x", []byte(place(s.Name, "")), "testdata/good", testNow)
			with, r := parse("x", []byte(place(s.Name, k.Name+" = "+k.Default)), "testdata/good", testNow)
			if s.Name == "[frontend.NAME]" && k.Name == "bind" || s.Name == "[backend.NAME]" && k.Name == "servers" {
				continue // an empty list is what the default means, not what one would write
			}
			if !r.OK() {
				t.Errorf("%s %s = %s: %v", s.Name, k.Name, k.Default, r.Err())
				continue
			}
			if with.WriteTOML() != without.WriteTOML() {
				t.Errorf("%s %s = %s is not the default: %v", s.Name, k.Name, k.Default, Diff(without, with))
			}
		}
	}
}

func TestEffectiveFileMeansTheSame(t *testing.T) {
	for _, file := range []string{"testdata/good/small.toml", "testdata/good/full.toml"} {
		c, r := parseFile(t, file)
		if !r.OK() {
			t.Fatal(r.Err())
		}
		if !json.Valid(c.WriteJSON()) {
			t.Errorf("no JSON:\n%s", c.WriteJSON())
		}
		again, r := parse("effective", []byte(c.WriteTOML()), "testdata/good", testNow)
		if !r.OK() {
			t.Fatalf("%v\n%s", r.Err(), c.WriteTOML())
		}
		for _, ch := range Diff(c, again) {
			if ch.Action != Keep {
				t.Errorf("%s: %+v", file, ch)
			}
		}
	}
}
