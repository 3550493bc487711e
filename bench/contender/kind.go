package contender

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"
)

//go:embed templates
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*"))

// kind is what sets one sort of contender apart. Functions left nil do nothing.
type kind struct {
	name     string
	about    string
	program  string // looked up in PATH when no path is given; "" is the bench itself
	version  []string
	template string
	command  func(config string, v view) []string
	lacks    func(b *Binary, s Setup) string
	reload   func(r *Running) error
	mallocs  bool // has go_memstats_mallocs_total at http://ADMIN/metrics
}

// The names of the kinds.
const (
	Weir    = "weir"
	HAProxy = "haproxy"
	Nginx   = "nginx"
	Caddy   = "caddy"
	Floor   = "floor"
	Netpoll = "floor-netpoll"
	Spliced = "haproxy-splice"
)

var kinds = []*kind{
	{name: Weir, about: "the product", program: "bin/weir", version: []string{"version"}, template: "weir.toml",
		command: func(c string, _ view) []string { return []string{"run", "-c", c} },
		reload:  func(r *Running) error { return unix.Kill(r.PID, unix.SIGHUP) }, mallocs: true},
	{name: HAProxy, about: "HAProxy", program: "haproxy", version: []string{"-vv"}, template: "haproxy.cfg",
		command: haproxyCommand, lacks: haproxyLacks,
		reload: func(r *Running) error { return unix.Kill(r.PID, unix.SIGUSR2) }},
	{name: Spliced, about: "HAProxy that moves large bodies with splice(2)", program: "haproxy", version: []string{"-vv"},
		template: "haproxy.cfg", command: haproxyCommand, lacks: splicedLacks,
		reload: func(r *Running) error { return unix.Kill(r.PID, unix.SIGUSR2) }},
	{name: Nginx, about: "nginx", program: "nginx", version: []string{"-V"}, template: "nginx.conf",
		command: func(c string, v view) []string { return []string{"-c", c, "-p", v.Dir, "-e", v.Dir + "/error.log"} },
		lacks:   nginxLacks, reload: func(r *Running) error { return unix.Kill(r.PID, unix.SIGHUP) }},
	{name: Caddy, about: "Caddy", program: "caddy", version: []string{"version"}, template: "Caddyfile",
		command: func(c string, _ view) []string { return []string{"run", "--config", c, "--adapter", "caddyfile"} },
		lacks:   caddyLacks, reload: caddyReload, mallocs: true},
	{name: Floor, about: "a bare epoll relay without HTTP", command: floorCommand("epoll"), lacks: floorLacks},
	{name: Netpoll, about: "the same relay on cloudwego/netpoll", command: floorCommand("netpoll"), lacks: floorLacks},
}

func kindOf(name string) *kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

// Kinds are the names of all kinds, in the order of tables.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

func haproxyCommand(config string, v view) []string {
	if v.Reloads {
		return []string{"-W", "-f", config}
	}
	return []string{"-db", "-f", config}
}

func haproxyLacks(b *Binary, s Setup) string {
	if s.Front == FrontH3 && !strings.Contains(b.Details, "+QUIC") {
		return "this HAProxy is built without QUIC"
	}
	return ""
}

func splicedLacks(b *Binary, s Setup) string {
	if !s.Splice {
		return "only where bodies are large"
	}
	return haproxyLacks(b, s)
}

func nginxLacks(b *Binary, s Setup) string {
	switch {
	case s.Front == FrontH3 && !strings.Contains(b.Details, "http_v3_module"):
		return "this nginx is built without HTTP/3"
	case s.Back == BackH2:
		return "nginx speaks only HTTP/1 to servers"
	case s.Reuse == ReuseSafe || s.Reuse == ReuseAggressive:
		return "nginx has no such reuse mode"
	}
	return ""
}

func caddyLacks(_ *Binary, s Setup) string {
	switch {
	case s.Reuse == ReuseSafe || s.Reuse == ReuseAggressive:
		return "Caddy has no such reuse mode"
	case s.MaxConn > 0:
		return "Caddy neither queues nor refuses requests to a busy server"
	}
	return ""
}

func caddyReload(r *Running) error {
	out, err := exec.Command(r.Binary.Path, "reload", "--config", r.ConfigPath, "--adapter", "caddyfile", "--force",
		"--address", r.Place.Admin.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("caddy reload: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func floorCommand(engine string) func(string, view) []string {
	return func(_ string, v view) []string {
		args := []string{"relay", "--engine", engine, "--listen", v.Listen.String(), "--origin", v.Origin.String()}
		if v.Conns > 20000 { // More than one source address has ports for.
			args = append(args, "--sources", "16")
		}
		return args
	}
}

func floorLacks(_ *Binary, s Setup) string {
	switch {
	case s.Front != FrontH1:
		return "a relay has no TLS"
	case s.Back != BackH1:
		return "a relay translates nothing"
	case s.Reuse != ReuseAlways:
		return "a relay opens a server connection for each client connection"
	case s.MaxConn > 0:
		return "a relay has no limits"
	case s.Reloads:
		return "a relay has nothing to reload"
	}
	return ""
}

// render writes the contender's configuration file and returns its path and text.
func (k *kind) render(v view) (path, text string, err error) {
	if k.template == "" {
		return "", "", nil
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, k.template, v); err != nil {
		return "", "", err
	}
	path = filepath.Join(v.Dir, k.template)
	return path, b.String(), os.WriteFile(path, b.Bytes(), 0o600)
}
