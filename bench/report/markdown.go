package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// WriteFiles writes the record, the Markdown and the plots into dir, which it makes, and returns the Markdown's path.
func (r *Report) WriteFiles(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	old, _ := filepath.Glob(filepath.Join(dir, "*.svg")) // of an earlier run with other scenarios
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), append(text, '\n'), 0o644); err != nil {
		return "", err
	}
	plots := r.plots()
	for _, name := range sortedKeys(plots) {
		if err := os.WriteFile(filepath.Join(dir, name), plots[name], 0o644); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "report.md")
	return path, os.WriteFile(path, []byte(r.markdown(plots)), 0o644)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *Report) markdown(plots map[string][]byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	r.preamble(&b)
	r.ratiosMarkdown(&b)
	r.savingsMarkdown(&b)
	if _, ok := plots["overview.svg"]; ok {
		b.WriteString("![CPU a request, relative to the first contender](overview.svg)\n\n")
	}
	group := ""
	for _, s := range r.Scenarios {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "## %s\n\n", group)
		}
		s.markdown(&b, plots)
	}
	r.configurations(&b)
	return b.String()
}

func (r *Report) preamble(b *strings.Builder) {
	m, how := r.Machine, r.Method
	fmt.Fprintf(b, "%s, %.0f s. %s, %d CPUs, %s, %.1f GiB, %s. Proxy on CPU %v, origin on %v, load generator on %v; "+
		"all traffic on loopback.\n\n", r.Started.Format("2006-01-02 15:04 MST"), r.Took, m.CPU, m.CPUs, m.Kernel,
		float64(m.Memory)/float64(1<<30), m.Go, how.ProxyCPUs, how.OriginCPUs, how.LoadCPUs)
	fmt.Fprintf(b, "Figures are medians of %d interleaved rounds, ± half the range. CPU and throughput come from closed loops of "+
		"%.2g s (less where the time budget asked for it), latencies from open loops at %.0f %% of what the slowest contender "+
		"could (Caddy at no more than its own), counted from the moment a request was due. CPU is the scheduler's time of all the contender's processes; the "+
		"split into user and kernel is sampled. System calls were counted by %s in runs of their own. *Proxy busy* below 90 %% "+
		"with *load+origin busy* above it means that throughput is the harness's limit, not the contender's; CPU a request holds "+
		"all the same. **Only the ratios mean anything.**\n\n", how.Rounds, how.Closed, 100*how.LoadFraction, orNothing(how.Tracer))
	if n, all := r.Disturbed(); n > 0 {
		fmt.Fprintf(b, "**Other processes used more than %d %% of a CPU during %d of %d rows: this run is no basis for a claim.**\n\n",
			OthersMax, n, all)
	}
	b.WriteString("| contender | what | version |\n| --- | --- | --- |\n")
	for _, c := range r.Contenders {
		version := c.Version
		if c.Missing != "" {
			version = "– " + c.Missing
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", c.Name, c.About, version)
	}
	b.WriteString("\n")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func (s *Scenario) markdown(b *strings.Builder, plots map[string][]byte) {
	fmt.Fprintf(b, "### %s\n\n%s (`%s`, %d rounds", s.Title, s.About, s.Name, s.Rounds)
	if s.Scale < 1 {
		fmt.Fprintf(b, ", %.0f %% of the measuring time", 100*s.Scale)
	}
	b.WriteString(")\n\n")
	cols := s.columns()
	b.WriteString("| |")
	for _, m := range cols {
		fmt.Fprintf(b, " %s |", m.head())
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(cols)) + "\n")
	for _, r := range s.Rows {
		fmt.Fprintf(b, "| %s |", r.label())
		for _, c := range r.cells(cols) {
			fmt.Fprintf(b, " %s |", c)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	s.remarks(b)
	for _, kind := range []string{"cpu", "latency", "timeline"} {
		if name := s.Name + "-" + kind + ".svg"; plots[name] != nil {
			fmt.Fprintf(b, "![%s: %s](%s)\n\n", s.Title, kind, name)
		}
	}
}

func (s *Scenario) remarks(b *strings.Builder) {
	for _, r := range s.Rows {
		if remark := r.remark(); remark != "" {
			fmt.Fprintf(b, "- %s: – %s\n", r.label(), remark)
		}
		for _, n := range r.Notes {
			fmt.Fprintf(b, "- %s: %s\n", r.label(), n)
		}
		if len(r.Calls) > 0 {
			fmt.Fprintf(b, "- %s: system calls a request: %s\n", r.label(), callList(r.Calls))
		}
		if r.TLS != "" {
			fmt.Fprintf(b, "- %s: %s\n", r.label(), r.TLS)
		}
	}
	b.WriteString("\n")
}

// callList names the calls that matter, most frequent first.
func callList(calls map[string]float64) string {
	names := sortedKeys(calls)
	slices.SortStableFunc(names, func(x, y string) int {
		switch {
		case calls[x] > calls[y]:
			return -1
		case calls[x] < calls[y]:
			return 1
		}
		return 0
	})
	var list []string
	for _, n := range names {
		if calls[n] >= 0.005 {
			list = append(list, strings.TrimSpace(n+" "+fmt.Sprintf("%.2f", calls[n])))
		}
	}
	return strings.Join(list, ", ")
}

// configurations prints every contender's details and each configuration once.
func (r *Report) configurations(b *strings.Builder) {
	b.WriteString("## Configurations\n\n")
	for _, c := range r.Contenders {
		if c.Missing != "" {
			continue
		}
		fmt.Fprintf(b, "### %s\n\n`%s`\n\n", c.Name, c.Path)
		if details := strings.TrimSpace(c.Details); details != "" {
			fmt.Fprintf(b, "<details><summary>%s</summary>\n\n```\n%s\n```\n\n</details>\n\n", c.Version, details)
		}
		seen := map[string]bool{}
		for _, s := range r.Scenarios {
			for _, row := range s.Rows {
				text := row.Config
				if text == "" {
					text = strings.Join(row.Command, " ")
				}
				key := withoutPorts(text)
				if row.Contender != c.Name || text == "" || seen[key] {
					continue
				}
				seen[key] = true
				title := s.Name
				if row.Variant != "" {
					title += ", " + row.Variant
				}
				fmt.Fprintf(b, "<details><summary>%s</summary>\n\n```\n%s\n```\n\n</details>\n\n", title, strings.TrimSpace(text))
			}
		}
	}
}

var loopback = regexp.MustCompile(`\b127\.\d+\.\d+\.\d+\b`)

// withoutPorts makes configurations comparable that differ only in ports and temporary directories.
func withoutPorts(text string) string {
	var b strings.Builder
	for f := range strings.FieldsSeq(text) {
		switch {
		case loopback.MatchString(f), strings.Contains(f, "weir-bench-"):
			f = "…"
		}
		b.WriteString(f + " ")
	}
	return b.String()
}
