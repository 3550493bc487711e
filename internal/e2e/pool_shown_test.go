package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// required are the metrics that behaviour section 6 names.
var required = strings.Fields(`weir_frontend_connections weir_frontend_connections_total weir_frontend_tls_handshakes_total
	weir_requests_total weir_server_connections weir_server_connections_opened_total weir_server_connections_closed_total
	weir_server_connection_reuses_total weir_server_connection_takeovers_total weir_server_requests_per_connection_count
	weir_queue_length weir_queue_wait_seconds_count weir_queue_rejected_total weir_limit_current weir_limit_max
	weir_limit_hits_total weir_retries_total weir_request_duration_seconds_count weir_connect_duration_seconds_count
	weir_worker_loop_seconds_count weir_worker_connections weir_config_generation
	weir_config_last_reload_success_timestamp_seconds weir_build_info`)

// What was done and what is shown is the same, in every place where it is shown.
func TestNumbersAgree(t *testing.T) {
	t.Parallel()
	hold := newHolding(t)
	back := newTally(t, plain, hold.serve)
	w := start(t, attached("backend", "max-conn = 4\nqueue-timeout = \"8s\"", setup{servers: []*origin{back.origin},
		backend: "reuse = \"always\"\npool-purge-delay = \"1h\"\npool-warm-conn = 2"}))
	m, err := w.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range required {
		if !has(m, name) {
			t.Errorf("no sample of %s before the first request", name)
		}
	}
	w.wantMetric(2, "weir_server_connections", "state", "idle")

	const clients, later = 10, 5
	users := make([]*user, clients)
	done := make(chan error, clients)
	for i := range users {
		users[i] = w.client("")
		go func() {
			_, err := users[i].try("GET", "/hold")
			done <- err
		}()
	}
	// In the midst: as many as max-conn at the server, the others in the queue.
	w.wantMetric(clients-4, "weir_queue_length", "backend", "api")
	for metric, want := range map[string]float64{
		"weir_server_connections state used": 4, "weir_server_connections state idle": 0, "weir_frontend_connections": clients,
		"weir_limit_current level backend axis max-conn": 4, "weir_limit_max level backend axis max-conn": 4,
		"weir_server_connections_opened_total why warm": 2, "weir_server_connections_opened_total why demand": 2,
		"weir_worker_connections": clients + 4,
	} {
		words := strings.Fields(metric)
		w.wantMetric(want, words[0], words[1:]...)
	}
	// One that found the limit met may have been given an idle connection of the other worker's in the next moment.
	held := w.metric("weir_limit_hits_total", "level", "backend", "axis", "max-conn")
	if held < clients-4 || held > clients {
		t.Errorf("%v of %d clients have met the limit, at least %d must", held, clients, clients-4)
	}
	hold.release()
	for range clients {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range users {
		for range later {
			w.ask(u, "POST", "/")
		}
	}
	total := clients * (1 + later)
	opened := back.everOpen()

	var servers []map[string]any
	w.show(&servers, "servers", "conn")
	row := servers[0]
	for key, want := range map[string]int{
		"used": 0, "idle-safe": opened, "idle-fresh": 0, "private": 0, "opened": opened, "closed": 0, "requests": total,
		"in-flight": 0,
	} {
		if got := fmt.Sprint(row[key]); got != fmt.Sprint(want) {
			t.Errorf("weir show servers conn: %s is %s, want %d", key, got, want)
		}
	}
	if sum := fmt.Sprint(row["idle[0]"].(float64) + row["idle[1]"].(float64)); sum != fmt.Sprint(opened) {
		t.Errorf("idle by worker adds up to %s, want %d", sum, opened)
	}
	table := w.done("show", "servers", "conn")
	want := "backend/server state used idle-safe idle-fresh private need limit opened reused taken-over closed idle[0] idle[1]"
	lines := strings.Split(table, "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != want {
		t.Errorf("columns %q", got)
	}
	if len(lines) < 4 || !strings.HasPrefix(lines[1], "api/s1 ") || strings.Fields(lines[1])[8] != fmt.Sprint(opened) {
		t.Errorf("table\n%s", table)
	}
	m, err = w.metrics()
	if err != nil {
		t.Fatal(err)
	}
	reuses := m.sum("weir_server_connection_reuses_total")
	if fmt.Sprint(row["reused"]) != fmt.Sprint(reuses) || int(reuses) < total-opened || int(reuses) > total {
		t.Errorf("%v reuses as a metric, %v shown, of %d requests over %d connections", reuses, row["reused"], total, opened)
	}
	for name, want := range map[string]int{
		"weir_requests_total": total, "weir_request_duration_seconds_count": total, "weir_connect_duration_seconds_count": opened,
		"weir_server_connections_opened_total": opened, "weir_frontend_connections_total": clients,
		"weir_queue_wait_seconds_count": int(held),
	} {
		if got := m.sum(name); int(got) != want {
			t.Errorf("%s is %v, want %d", name, got, want)
		}
	}
	wantStat(t, w, total)

	// What ends is counted where it began.
	for _, u := range users {
		u.close()
	}
	back.cut()
	w.wantMetric(float64(opened), "weir_server_connections_closed_total", "cause", "peer-closed")
	w.wantMetric(float64(opened), "weir_server_requests_per_connection_count")
	if got := w.metric("weir_server_requests_per_connection_sum"); int(got) != total {
		t.Errorf("requests per connection add up to %v, want %d", got, total)
	}
	w.wantMetric(2, "weir_server_connections", "state", "idle")
}

func has(m scrape, name string) bool {
	for i := range m {
		if m[i].name == name {
			return true
		}
	}
	return false
}

// tableOf is the rows of a table by the names of their columns.
func tableOf(text string) (rows []map[string]string) {
	head, rest, _ := strings.Cut(text, "\n")
	for line := range strings.Lines(rest) {
		row, cells := map[string]string{}, strings.Fields(line)
		for i, name := range strings.Fields(head) {
			if i < len(cells) {
				row[name] = cells[i]
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// wantStat looks at the tables for people.
func wantStat(t *testing.T, w *weir, requests int) {
	t.Helper()
	rows := 0
	for _, row := range tableOf(w.done("show", "stat")) {
		rows++
		if row["requests"] != fmt.Sprint(requests) {
			t.Errorf("weir show stat: %v, want %d requests", row, requests)
		}
		if got := row["2xx"]; got != fmt.Sprint(requests) && row["kind"] != "server" {
			t.Errorf("weir show stat: %v, want %d of 2xx", row, requests)
		}
	}
	if rows != 3 {
		t.Errorf("weir show stat has %d rows, want a frontend's, a backend's and a server's", rows)
	}
	backends := tableOf(w.done("show", "backends"))
	if len(backends) != 1 || backends[0]["backend"] != "api" || backends[0]["idle"] != fmt.Sprint(w.idle()) ||
		backends[0]["used"] != "0" || backends[0]["queue"] != "0" || backends[0]["rejected"] != "0" || backends[0]["queue-p99"] == "-" {
		t.Errorf("weir show backends: %v", backends)
	}
}
