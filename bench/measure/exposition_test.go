package measure

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestScrape(t *testing.T) {
	page := "# TYPE go_memstats_mallocs_total counter\ngo_memstats_mallocs_total_x 1\ngo_memstats_mallocs_total 1.25e+06 1700\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
		}
		w.Write([]byte(page))
	}))
	defer server.Close()
	if got, err := Scrape(server.URL+"/metrics", "go_memstats_mallocs_total"); err != nil || got != 1.25e6 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Scrape(server.URL+"/metrics", "go_memstats_frees_total"); err == nil {
		t.Error("found a metric that is not there")
	}
	if _, err := Scrape(server.URL+"/nothing", "go_memstats_mallocs_total"); err == nil {
		t.Error("took a 404 for an answer")
	}
}
