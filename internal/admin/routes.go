package admin

import (
	"context"
	"encoding/json"
	"net/url"
)

// answer is what an HTTP request gets.
type answer struct {
	status      int
	contentType string
	body        []byte
}

const (
	textPlain = "text/plain; charset=utf-8"
	textHTML  = "text/html; charset=utf-8"
	jsonType  = "application/json"
)

func plain(status int, text string) answer {
	return answer{status: status, contentType: textPlain, body: []byte(text + "\n")}
}

// site answers the requests of the admin listener.
type site struct {
	control *control
	metrics *metrics
}

// get answers a GET for an origin-form target. HEAD gets the same without the body.
func (s *site) get(ctx context.Context, target string) answer {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return plain(400, "bad request target")
	}
	switch u.Path {
	case "/":
		return plain(200, "weir: /metrics /healthz /readyz /stats /api/servers /api/limits /api/sessions /api/info")
	case "/healthz":
		return plain(200, "ok")
	case "/readyz":
		return s.ready()
	case "/metrics":
		return s.scrape(ctx)
	case "/stats":
		return s.page(ctx)
	case "/api/servers":
		return s.api(ctx, Request{Args: []string{"servers", "conn"}})
	case "/api/limits", "/api/info":
		return s.api(ctx, Request{Args: []string{u.Path[len("/api/"):]}})
	case "/api/sessions":
		args := []string{"sessions"}
		if n := u.Query().Get("max"); n != "" {
			args = append(args, n)
		}
		return s.api(ctx, Request{Args: args})
	}
	return plain(404, "no such page")
}

func (s *site) ready() answer {
	if ok, why := s.control.engine.Ready(); !ok {
		return plain(503, why)
	}
	return plain(200, "ready")
}

func (s *site) scrape(ctx context.Context) answer {
	snap, err := s.control.snapshot(ctx)
	if err != nil {
		return plain(503, err.Error())
	}
	body, err := s.metrics.render(snap)
	if err != nil {
		return plain(500, err.Error())
	}
	return answer{200, metricsContentType, body}
}

func (s *site) page(ctx context.Context) answer {
	snap, err := s.control.snapshot(ctx)
	if err != nil {
		return plain(503, err.Error())
	}
	body, err := renderPage(snap)
	if err != nil {
		return plain(500, err.Error())
	}
	return answer{200, textHTML, body}
}

// api is `weir show … --json` over HTTP; a refusal is a JSON object with the reason.
func (s *site) api(ctx context.Context, r Request) answer {
	r.Cmd, r.JSON = "show", true
	rsp := s.control.run(ctx, r)
	if rsp.OK {
		return answer{200, jsonType, append(rsp.Data, '\n')}
	}
	body, err := json.Marshal(object{{"error", rsp.Reason}})
	if err != nil {
		return plain(500, rsp.Reason)
	}
	return answer{503, jsonType, append(body, '\n')}
}
