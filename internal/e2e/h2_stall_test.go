package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"golang.org/x/net/http2"
)

// stalledStreams is how many streams have a reader that takes nothing.
const stalledStreams = 100

// stalledBytes bounds what so many may cost: the buffers of the two connections, the records of the exchanges, and what the
// collector keeps in reserve. It is well below the 64 KiB for each that HTTP/2's usual windows allow.
const stalledBytes = 4 * megabyte

// stallBytes is the body, each way, of a request that goes on beside them.
const stallBytes = 40000

// What stalls here is to stay, however slow the machine is.
const (
	patientFront  = "timeouts = \"patient\"\n"
	patientBack   = patientFront
	patientTables = "[timeouts.patient]\nclient = \"600s\"\nserver = \"600s\"\nhttp-request = \"600s\"\n"
)

// stall serves /stuck, which neither reads nor answers before the client has gone, /endless, and /take, which says what it got.
func stall(stuck *sync.WaitGroup) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stuck":
			stuck.Done()
			<-r.Context().Done()
		case "/endless":
			for _, err := w.Write(make([]byte, 16<<10)); err == nil; {
				_, err = w.Write(make([]byte, 16<<10))
			}
		default:
			got, _ := sum(r.Body)
			w.Header().Set("X-Got", got)
			_, _ = io.Copy(w, noise(2, stallBytes))
		}
	}
}

// smallWindows is an h2 server whose streams take little before their handlers read, and its connections much.
func smallWindows(t *testing.T, h http.Handler) *origin {
	return goOrigin(t, protocols{over: plain, h2: true, settings: &http.HTTP2Config{
		MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 16 << 20, MaxConcurrentStreams: 200,
	}}, h)
}

// endless is a body without end that stops with the request.
type endless struct{ ctx context.Context }

func (e endless) Read(p []byte) (int, error) { return len(p), e.ctx.Err() }

// TestStalledUploadsStopNoOther: a client's uploads to a server that does not read them leave its other uploads alone, and
// what weir holds of them stays within the buffer of one connection.
func TestStalledUploadsStopNoOther(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"", "16KiB", "256KiB"} {
		t.Run("max-buffer-size "+size, func(t *testing.T) {
			var stuck sync.WaitGroup
			s := h2cSetup(smallWindows(t, stall(&stuck)), patientBack)
			s.frontend, s.tables = patientFront, patientTables
			if size != "" {
				s.tables += fmt.Sprintf("[limits.edge]\nmax-buffer-size = %q\n", size)
				s.global = `limits = "edge"`
				s.frontend += `limits = "edge"`
				s.backend += "limits = \"edge\"\n"
			}
			w := start(t, s)
			patient := &http.Client{Transport: w.browser(t, "h2").Transport}
			client := &http.Client{Transport: patient.Transport, Timeout: 4 * patience}
			uploadWhole(t, client)
			before := w.rss()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var gone sync.WaitGroup
			for i := range stalledStreams {
				stuck.Add(1)
				gone.Go(func() {
					r, _ := http.NewRequestWithContext(ctx, "PUT", "http://a.example/stuck", endless{ctx})
					if _, err := patient.Do(r); err == nil || ctx.Err() == nil {
						t.Errorf("a stalled upload has ended: %v", err)
					}
				})
				if i%25 == 0 {
					stuck.Wait()
					uploadWhole(t, client)
				}
			}
			stuck.Wait()
			for range 3 {
				uploadWhole(t, client)
			}
			if n := w.rss() - before; n > stalledBytes {
				t.Errorf("%d stalled uploads take %d KiB", stalledStreams, n>>10)
			}
			cancel()
			gone.Wait()
			if n := w.metric("weir_frontend_connections_total"); n != 1 {
				t.Errorf("the client has opened %v connections", n)
			}
		})
	}
}

func uploadWhole(t *testing.T, client *http.Client) {
	t.Helper()
	rsp, err := client.Post("http://a.example/take", "text/plain", noise(1, stallBytes))
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	if err := wantSum("response", rsp.Body, 2, stallBytes); err != nil || rsp.Header.Get("X-Got") != sumOfNoise(1, stallBytes) {
		t.Errorf("%v %v", rsp.Header, err)
	}
}

// TestStalledDownloadsStopNoOther: clients that do not read what they have asked for leave others alone that share the
// server connection with them, also if it is the only one that there may be.
func TestStalledDownloadsStopNoOther(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 1} {
		t.Run(fmt.Sprintf("max-conn %d", most), func(t *testing.T) {
			var stuck sync.WaitGroup
			s := h2cSetup(smallWindows(t, stall(&stuck)), patientBack+`limits = "edge"`)
			s.frontend = patientFront
			s.tables = patientTables + fmt.Sprintf("[limits.edge]\nmax-conn = %d\n", most)
			w := start(t, s)
			other := &http.Client{Transport: w.browser(t, "h2").Transport, Timeout: 4 * patience}
			uploadWhole(t, other)
			before := w.rss()
			lazy := w.dialH2(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
			lazy.greedy = false
			lazy.must(lazy.framer.WriteWindowUpdate(0, 16<<20))
			for i := range uint32(stalledStreams) {
				lazy.get(2*i+1, "/endless")
			}
			lazy.until("every response has begun", func() bool {
				for i := range uint32(stalledStreams) {
					if len(lazy.stream(2*i+1).body) < 1000 {
						return false
					}
				}
				return true
			})
			for range 3 {
				uploadWhole(t, other)
			}
			if n := w.rss() - before; n > stalledBytes {
				t.Errorf("%d stalled downloads take %d KiB", stalledStreams, n>>10)
			}
			if n := w.metric("weir_server_connections_opened_total"); n > 12 || most > 0 && n != 1 {
				t.Errorf("weir has opened %v connections to the server", n)
			}
			for i := range uint32(stalledStreams) { // they go on where they were
				lazy.must(lazy.framer.WriteWindowUpdate(2*i+1, 1000))
			}
			lazy.until("every response goes on", func() bool {
				for i := range uint32(stalledStreams) {
					if s := lazy.stream(2*i + 1); len(s.body) < 2000 || s.reset != nil {
						return false
					}
				}
				return true
			})
		})
	}
}
