package measure

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Scrape fetches one unlabelled value of a Prometheus page, such as go_memstats_mallocs_total.
func Scrape(url, metric string) (float64, error) {
	client := http.Client{Timeout: 2 * time.Second}
	rsp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer rsp.Body.Close()
	text, err := io.ReadAll(rsp.Body)
	if err != nil {
		return 0, err
	}
	if rsp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", url, rsp.Status)
	}
	return parseExposition(string(text), metric)
}

func parseExposition(text, metric string) (float64, error) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, metric)
		if !ok || !strings.HasPrefix(rest, " ") {
			continue
		}
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a timestamp may follow
		return strconv.ParseFloat(value, 64)
	}
	return 0, fmt.Errorf("no metric %s", metric)
}
