package admin

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strconv"
	"time"

	"weir/internal/stats"
)

// pageSource is the stats page. It loads nothing: no script, no font, no style sheet.
//
//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("stats").Funcs(template.FuncMap{
	"sum":      func(m map[string]int64) int64 { return sum(m) },
	"total":    func(m map[string]uint64) uint64 { return sum(m) },
	"codes":    func(f stats.FrontendRow) pageCodes { return toPageCodes(codes(f.Requests, "")) },
	"quantile": func(h stats.Histogram, q float64) string { return quantile(&h, q) },
	"mean":     func(h stats.Histogram) string { return mean(&h) },
	"retries":  func(b stats.BackendRow) uint64 { return retries(&b) },
	"time":     timeText,
	"share":    share,
	"bytes":    bytesText,
}).Parse(pageSource))

// pageCodes is codeCounts with names that a template can say.
type pageCodes struct{ All, C2, C3, C4, C5 uint64 }

func toPageCodes(c codeCounts) pageCodes {
	return pageCodes{All: c.all, C2: c.of["2xx"], C3: c.of["3xx"], C4: c.of["4xx"], C5: c.of["5xx"]}
}

// pageData is what the template is given.
type pageData struct {
	*stats.Snapshot
	Uptime  time.Duration
	Servers []*stats.ServerRow
	Recent  []stats.Failure // the newest first
}

// recentMax is how many failures the page lists.
const recentMax = 10

func renderPage(s *stats.Snapshot) ([]byte, error) {
	d := pageData{Snapshot: s, Uptime: s.Time.Sub(s.Info.Started).Round(time.Second)}
	eachServer(s, func(v *stats.ServerRow) { d.Servers = append(d.Servers, v) })
	for i := len(s.Failures) - 1; i >= 0 && len(d.Recent) < recentMax; i-- {
		d.Recent = append(d.Recent, s.Failures[i])
	}
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, d)
	return b.Bytes(), err
}

// share is how full a limit is, in percent.
func share(current, limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	return min(100*current/limit, 100)
}

func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, unit := float64(n)/1024, 0
	for v >= 1024 && unit < len(units)-1 {
		v /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[unit])
}
