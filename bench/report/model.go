package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"weir/bench/measure"
)

// Format is raised when the record changes in a way that older readers would misread.
const Format = 1

// Report is the record of a run.
type Report struct {
	Format     int         `json:"format"`
	Title      string      `json:"title"`
	Started    time.Time   `json:"started"`
	Took       Seconds     `json:"took_s"`
	Machine    Machine     `json:"machine"`
	Method     Method      `json:"method"`
	Contenders []Contender `json:"contenders"`
	Scenarios  []*Scenario `json:"scenarios"`
}

// Seconds is a duration that reads as a number of seconds in JSON.
type Seconds float64

// Machine is where a run took place.
type Machine struct {
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Memory   int64  `json:"memory_bytes"`
	Governor string `json:"governor,omitempty"`
	Files    uint64 `json:"open_files_limit"`
}

// Method is how a run was made.
type Method struct {
	Rounds       int     `json:"rounds"`
	Closed       Seconds `json:"closed_s"`
	Open         Seconds `json:"open_s"`
	Warmup       Seconds `json:"warmup_s"`
	LoadFraction float64 `json:"load_fraction"` // of the measured capacity, in open loops
	ProxyCPUs    []int   `json:"proxy_cpus"`
	OriginCPUs   []int   `json:"origin_cpus"`
	LoadCPUs     []int   `json:"load_cpus"`
	Tracer       string  `json:"tracer"`
	OriginEngine string  `json:"origin_engine"`
}

// Contender is one that took part, or why it did not.
type Contender struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	About   string `json:"about"`
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
	Details string `json:"details,omitempty"`
	Missing string `json:"missing,omitempty"`
}

// Scenario is the outcome of one scenario.
type Scenario struct {
	Name    string   `json:"name"`
	Group   string   `json:"group"`
	Title   string   `json:"title"`
	About   string   `json:"about"`
	Rounds  int      `json:"rounds"`
	Scale   float64  `json:"scale"`   // of the measuring times, where the budget asked for shorter ones
	Columns []string `json:"columns"` // metrics to show, by key
	Rows    []*Row   `json:"rows"`

	// What it saves over another scenario, by name, is a figure of its own.
	Saves string `json:"saves,omitempty"`
	Over  string `json:"saves_over,omitempty"`
}

// Row is one contender in one scenario; Variant tells rows of the same contender apart.
type Row struct {
	Contender string               `json:"contender"`
	Variant   string               `json:"variant,omitempty"`
	Absent    string               `json:"absent,omitempty"` // why there is nothing to show
	Failures  []string             `json:"failures,omitempty"`
	Notes     []string             `json:"notes,omitempty"`
	Samples   map[string][]float64 `json:"samples,omitempty"` // by metric, one a round
	Latency   []Point              `json:"latency,omitempty"` // all rounds together
	Timeline  []int64              `json:"timeline,omitempty"`
	Calls     map[string]float64   `json:"calls_per_request,omitempty"`
	Command   []string             `json:"command,omitempty"`
	Config    string               `json:"config,omitempty"`
	TLS       string               `json:"tls,omitempty"`
}

// Point is one quantile of a latency distribution.
type Point struct {
	Quantile float64 `json:"q"`
	Micros   float64 `json:"us"`
}

// Add appends a sample.
func (r *Row) Add(metric string, v float64) {
	if r.Samples == nil {
		r.Samples = map[string][]float64{}
	}
	r.Samples[metric] = append(r.Samples[metric], v)
}

// Fail notes a failure once.
func (r *Row) Fail(why string) { r.Failures = addOnce(r.Failures, why) }

// Note notes something a reader should know, once.
func (r *Row) Note(what string) { r.Notes = addOnce(r.Notes, what) }

func addOnce(list []string, s string) []string {
	for _, old := range list {
		if old == s {
			return list
		}
	}
	return append(list, s)
}

// Find returns a row, or nil.
func (s *Scenario) Find(contender, variant string) *Row {
	for _, r := range s.Rows {
		if r.Contender == contender && r.Variant == variant {
			return r
		}
	}
	return nil
}

// Find returns a scenario by name, or nil.
func (r *Report) Find(name string) *Scenario {
	for _, s := range r.Scenarios {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Failed says whether any row failed.
func (r *Report) Failed() bool {
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			if len(row.Failures) > 0 {
				return true
			}
		}
	}
	return false
}

// OthersMax is how much of a CPU, in per cent, processes that are no part of a measurement may use before it counts as
// disturbed.
const OthersMax = 15

// Disturbed is how many of the measured rows other processes disturbed, going by the median of their rounds.
func (r *Report) Disturbed() (disturbed, all int) {
	for _, s := range r.Scenarios {
		for _, row := range s.Rows {
			others := measure.Summarise(row.Samples["others_busy"])
			if others.N == 0 {
				continue
			}
			all++
			if others.Median > OthersMax {
				disturbed++
			}
		}
	}
	return disturbed, all
}

// Read reads a record.
func Read(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Format != Format {
		return nil, fmt.Errorf("%s: format %d, this bench reads %d", path, r.Format, Format)
	}
	return &r, nil
}
