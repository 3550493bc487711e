package report

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"weir/bench/measure"
)

// colours are told apart by people who see colours differently (Okabe and Ito).
var colours = []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#888888"}

const (
	plotWidth  = 720
	labelWidth = 190
	barHeight  = 18
)

// plots makes all plots of a report by file name.
func (r *Report) plots() map[string][]byte {
	all := map[string][]byte{}
	put := func(name string, svg []byte) {
		if svg != nil {
			all[name] = svg
		}
	}
	put("overview.svg", r.overview())
	for _, s := range r.Scenarios {
		put(s.Name+"-cpu.svg", s.bars())
		put(s.Name+"-latency.svg", s.latencies())
		put(s.Name+"-timeline.svg", s.timelines())
	}
	return all
}

// canvas collects the elements of a drawing.
type canvas struct {
	bytes.Buffer
	width, height float64
}

func newCanvas(w, h float64) *canvas {
	c := &canvas{width: w, height: h}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`,
		w, h)
	fmt.Fprintf(c, `<rect width="%.0f" height="%.0f" fill="white"/>`+"\n", w, h)
	return c
}

func (c *canvas) end() []byte {
	c.WriteString("</svg>\n")
	return c.Bytes()
}

func (c *canvas) rect(x, y, w, h float64, fill string, opacity float64) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="%.2f"/>`+"\n",
		x, y, math.Max(w, 0), h, fill, opacity)
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, stroke)
}

func (c *canvas) text(x, y float64, anchor, s string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
}

func (c *canvas) path(points [][2]float64, stroke string) {
	fmt.Fprintf(c, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, stroke)
	for _, p := range points {
		fmt.Fprintf(c, "%.1f,%.1f ", p[0], p[1])
	}
	c.WriteString("\"/>\n")
}

// bars draws CPU a request, user and kernel apart, with the range of the rounds as a whisker.
func (s *Scenario) bars() []byte {
	key, unit := "cpu_us", "µs of CPU a request (dark: user, light: kernel)"
	for _, col := range s.Columns {
		if col == "cpu_s_gib" {
			key, unit = col, "s of CPU a GiB"
		}
	}
	var rows []*Row
	highest := 0.0
	for _, r := range s.Rows {
		if usable(r) && len(r.Samples[key]) > 0 {
			rows = append(rows, r)
			highest = math.Max(highest, measure.Summarise(r.Samples[key]).Max)
		}
	}
	if len(rows) < 2 || highest == 0 {
		return nil
	}
	c := newCanvas(plotWidth, float64(40+len(rows)*(barHeight+8)))
	c.text(labelWidth, 18, "start", s.Title+": "+unit)
	scale := (plotWidth - labelWidth - 90) / highest
	for i, r := range rows {
		y := float64(32 + i*(barHeight+8))
		sum := measure.Summarise(r.Samples[key])
		user := 0.0
		if all := measure.Summarise(r.Samples["cpu_us"]).Median; all > 0 {
			user = sum.Median * measure.Summarise(r.Samples["cpu_user_us"]).Median / all
		}
		colour := colours[i%len(colours)]
		c.text(labelWidth-8, y+13, "end", r.label())
		c.rect(labelWidth, y, user*scale, barHeight, colour, 1)
		c.rect(labelWidth+user*scale, y, (sum.Median-user)*scale, barHeight, colour, 0.5)
		mid := y + barHeight/2
		c.line(labelWidth+sum.Min*scale, mid, labelWidth+sum.Max*scale, mid, "black")
		c.text(labelWidth+sum.Max*scale+6, y+13, "start", Number(sum.Median))
	}
	return c.end()
}

// latencies draws latency against the quantile, both on logarithmic axes, so that the tail has room.
func (s *Scenario) latencies() []byte {
	low, high, n := math.Inf(1), 0.0, 0
	for _, r := range s.Rows {
		if !usable(r) || len(r.Latency) == 0 {
			continue
		}
		n++
		for _, p := range r.Latency {
			low, high = math.Min(low, p.Micros), math.Max(high, p.Micros)
		}
	}
	if n == 0 || low <= 0 {
		return nil
	}
	low, high = math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)+1e-9))
	const top, bottom, left, right = 34.0, 300.0, 70.0, 560.0
	x := func(q float64) float64 { return left + (right-left)*(-math.Log10(1-q))/4 }
	y := func(us float64) float64 { return bottom - (bottom-top)*math.Log10(us/low)/math.Log10(high/low) }
	c := newCanvas(plotWidth, 340)
	c.text(left, 18, "start", s.Title+": latency (µs) by quantile, all rounds")
	for v := low; v <= high*1.01; v *= 10 {
		c.line(left, y(v), right, y(v), "#dddddd")
		c.text(left-6, y(v)+4, "end", Number(v))
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 0.9999} {
		c.line(x(q), top, x(q), bottom, "#dddddd")
		c.text(x(q), bottom+18, "middle", fmt.Sprintf("%g %%", math.Round(q*1e6)/1e4))
	}
	i := 0
	for at, r := range s.Rows {
		if !usable(r) || len(r.Latency) == 0 {
			continue
		}
		var line [][2]float64
		for _, p := range r.Latency {
			line = append(line, [2]float64{x(p.Quantile), y(p.Micros)})
		}
		c.path(line, colours[at%len(colours)])
		c.legend(right+16, top+float64(i)*20, at, r.label())
		i++
	}
	return c.end()
}

func (c *canvas) legend(x, y float64, colour int, label string) {
	c.rect(x, y, 12, 12, colours[colour%len(colours)], 1)
	c.text(x+18, y+11, "start", label)
}

// timelines draws throughput over time, for scenarios in which something happens meanwhile.
func (s *Scenario) timelines() []byte {
	steps, highest := 0, int64(0)
	for _, r := range s.Rows {
		steps = max(steps, len(r.Timeline))
		for _, v := range r.Timeline {
			highest = max(highest, v)
		}
	}
	if steps < 2 || highest == 0 {
		return nil
	}
	const top, bottom, left, right = 34.0, 220.0, 70.0, 560.0
	c := newCanvas(plotWidth, 256)
	c.text(left, 18, "start", s.Title+": requests completed in each 100 ms")
	c.line(left, bottom, right, bottom, "#888888")
	c.text(left-6, top+4, "end", fmt.Sprint(highest))
	c.text(left-6, bottom+4, "end", "0")
	c.text(right, bottom+18, "end", fmt.Sprintf("%.1f s", float64(steps)/10))
	i := 0
	for at, r := range s.Rows {
		if len(r.Timeline) < 2 {
			continue
		}
		var line [][2]float64
		for k, v := range r.Timeline {
			line = append(line, [2]float64{left + (right-left)*float64(k)/float64(steps-1),
				bottom - (bottom-top)*float64(v)/float64(highest)})
		}
		c.path(line, colours[at%len(colours)])
		c.legend(right+16, top+float64(i)*20, at, r.label())
		i++
	}
	return c.end()
}

// ratioBar is one contender in one scenario of the overview.
type ratioBar struct {
	contender int
	ratio     float64
}

// overview draws each contender's CPU a request relative to the first one that has it, scenario by scenario.
func (r *Report) overview() []byte {
	var names, titles []string
	for _, c := range r.Contenders {
		if c.Missing == "" {
			names = append(names, c.Name)
		}
	}
	var groups [][]ratioBar
	highest, bars := 1.0, 0
	for _, s := range r.Scenarios {
		g := s.ratioBars(names)
		if len(g) < 2 {
			continue
		}
		titles, groups = append(titles, s.Name), append(groups, g)
		bars += len(g)
		for _, b := range g {
			highest = math.Max(highest, b.ratio)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	highest = math.Min(highest, 6) // One that is far off must not squeeze the others.
	c := newCanvas(plotWidth, float64(60+bars*11+len(groups)*8))
	c.text(labelWidth, 18, "start", "CPU a request relative to the first contender of each scenario")
	for i, name := range names {
		c.legend(10+float64(i)*100, 26, i, name)
	}
	scale := (plotWidth - labelWidth - 60) / highest
	y := 52.0
	for i, g := range groups {
		c.text(labelWidth-8, y+float64(len(g))*5.5+4, "end", titles[i])
		for _, b := range g {
			c.rect(labelWidth, y, math.Min(b.ratio, highest)*scale, 9, colours[b.contender%len(colours)], 1)
			c.text(labelWidth+math.Min(b.ratio, highest)*scale+4, y+9, "start", fmt.Sprintf("%.2f", b.ratio))
			y += 11
		}
		y += 8
	}
	c.line(labelWidth+scale, 48, labelWidth+scale, y, "black")
	return c.end()
}

func (s *Scenario) ratioBars(names []string) (bars []ratioBar) {
	var base float64
	for i, name := range names {
		row := s.Find(name, "")
		if !usable(row) {
			continue
		}
		v := measure.Summarise(row.Samples["cpu_us"]).Median
		if v <= 0 {
			continue
		}
		if base == 0 {
			base = v
		}
		bars = append(bars, ratioBar{i, v / base})
	}
	return bars
}
