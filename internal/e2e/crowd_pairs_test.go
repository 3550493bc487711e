package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOddCrowdOfPairs is TestOddCrowd for every pair of protocols: streams are cancelled, aborted, cut short and left
// hanging at random, and whoever gets a whole 200 has got the answer to its own request.
func TestOddCrowdOfPairs(t *testing.T) {
	eachPair(t, oddHandler, func(t *testing.T, p *pair) { p.oddCrowd(t, nil) })
}

// TestOddCrowdOfPairsWhileReloading changes the configuration under the crowd all the time.
func TestOddCrowdOfPairsWhileReloading(t *testing.T) {
	eachPair(t, oddHandler, func(t *testing.T, p *pair) {
		other := goOrigin(t, protocols{over: p.over, h1: p.back == "h1", h2: p.back == "h2"}, http.HandlerFunc(oddHandler))
		p.oddCrowd(t, reloads(other))
	})
}

func (p *pair) oddCrowd(t *testing.T, meanwhile func(w *weir, n int)) {
	p.w.rewrite(func(s *setup) { s.frontend, s.tables = useShort, s.tables+short("client-fin") })
	p.w.reload()
	end := time.Now().Add(crowdTime)
	served := make(chan int, 16)
	for i := range cap(served) {
		go func() {
			n, seed := 0, rand.Uint64()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) {
				n++
				if err := p.oddRequest(r, fmt.Sprintf("/%d/%d", i, n)); err != nil {
					t.Errorf("request %d of client %d, seed %d: %v", n, i, seed, err)
				}
			}
			served <- n
		}()
	}
	for n := 0; meanwhile != nil && time.Now().Before(end); n++ {
		meanwhile(p.w, n)
	}
	for range cap(served) {
		<-served
	}
	p.client.CloseIdleConnections()
	eventually(t, "who comes afterwards is served", func() bool {
		rsp, err := p.w.browser(t, p.front).Get(p.url(afterwards))
		if err != nil {
			return false
		}
		_ = rsp.Body.Close()
		return rsp.StatusCode == 200
	})
}

// afterwards is a path at which nothing is odd.
const afterwards = "/afterwards"

// oddHandler answers in many ways, some of them wrong.
func oddHandler(w http.ResponseWriter, r *http.Request) {
	path := []byte(r.URL.Path)
	odd := rand.IntN(16)
	if r.URL.Path == afterwards {
		odd = 15
	}
	if odd > 1 {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	flush := http.NewResponseController(w).Flush
	switch odd {
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		_, _ = w.Write(path)
		_ = flush()
		panic(http.ErrAbortHandler)
	case 4:
		<-r.Context().Done() // its client loses patience first
		return
	case 5:
		_, _ = w.Write(path)
		_ = flush()
		<-r.Context().Done()
		return
	case 6:
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
	case 7:
		w.Header().Set("Trailer", "X-T")
		defer w.Header().Set("X-T", "1")
	case 8:
		w.WriteHeader(http.StatusNoContent)
		return
	case 9:
		for range 40 {
			_, _ = w.Write(path)
			_, _ = w.Write(make([]byte, 10_000))
			_ = flush()
		}
		return
	case 10:
		w.Header().Set("Content-Length", fmt.Sprint(len(path)))
	case 11:
		w.Header().Set("Connection", "close") // net/http says GOAWAY for it in h2
	}
	_, _ = w.Write(path)
}

// oddRequest asks in one of many ways. It returns an error for what must not happen.
func (p *pair) oddRequest(r *rand.Rand, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if r.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(20))*time.Millisecond)
		defer cancel()
	}
	method, body := "GET", io.Reader(nil)
	switch r.IntN(6) {
	case 0:
		method, body = "POST", strings.NewReader("small")
	case 1:
		method, body = "PUT", io.MultiReader(noise(1, int64(r.IntN(300_000)))) // of unknown length
	case 2:
		method, body = "POST", &failingBody{n: r.IntN(100_000)}
	case 3:
		method = "HEAD"
	}
	// Who hangs is left after a while; the test does not wait for weir's own patience.
	timer := time.AfterFunc(time.Second/4, cancel)
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, method, p.url(path), body)
	if err != nil {
		return err
	}
	rsp, err := p.client.Do(req)
	if err != nil {
		return nil
	}
	defer rsp.Body.Close()
	if r.IntN(8) == 0 {
		return nil // what is left is not read
	}
	got, err := io.ReadAll(rsp.Body)
	if err == nil && rsp.StatusCode == 200 && method != "HEAD" && !strings.HasPrefix(string(got), path) {
		return fmt.Errorf("the answer to %s is %q", path, clip(got))
	}
	return nil
}

// failingBody is a request body that breaks off after n bytes.
type failingBody struct {
	mu sync.Mutex
	n  int
}

func (f *failingBody) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return 0, fmt.Errorf("no more of it")
	}
	n := min(len(p), f.n)
	f.n -= n
	return n, nil
}
