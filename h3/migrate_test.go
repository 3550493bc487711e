package h3

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// via is a client whose packets go through a relay.
func (r *rig) via(rl *relay) *http.Client {
	tr := &http3.Transport{
		TLSClientConfig: clientTLS(),
		QUICConfig:      &quic.Config{HandshakeIdleTimeout: patience, MaxIdleTimeout: patience},
		Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, rl.addr().String(), tc, qc)
		},
	}
	r.t.Cleanup(func() { tr.Close() })
	return &http.Client{Transport: tr}
}

// 200 connections over 4 workers change their port in the middle of a transfer, while the configuration is replaced again
// and again. Every one goes on: a packet that came to the wrong worker would end its connection.
func TestAddressChange(t *testing.T) {
	const workers, size = 4, 40_000
	clients := 200
	if underRace {
		clients = 40
	}
	r := newRig(t, workers, func(c *Config) { c.HandshakeTimeout = patience })
	stop := make(chan struct{})
	var updates sync.WaitGroup
	updates.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				cfg := r.cfg
				r.e.Update(&cfg)
			}
		}
	})
	var wg sync.WaitGroup
	room := make(chan struct{}, 24) // a crowd that shakes hands all at once is another test's
	for range clients {
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			rl := newRelay(t, r.e.Addr())
			if err := r.echoAcross(rl, size); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(stop)
	updates.Wait()
	var conns, busy int
	for _, w := range r.workers {
		w.sync(func() {
			conns += w.opened
			if w.opened > 0 {
				busy++
			}
		})
	}
	if conns != clients {
		t.Errorf("%d connections were opened by %d clients", conns, clients)
	}
	if busy != workers {
		t.Errorf("%d of %d workers had connections", busy, workers)
	}
}

// echoAcross sends a body and gets it back while the address changes, half-way up and half-way down.
func (r *rig) echoAcross(rl *relay, size int) error {
	c := r.via(rl)
	// An address must not change before the handshake is confirmed (RFC 9000 section 9).
	if rsp, err := c.Get("https://a.example/bytes/0"); err != nil || rsp.StatusCode != 200 {
		return fmt.Errorf("first request: %v", err)
	}
	up, feed := io.Pipe()
	req, _ := http.NewRequest("POST", "https://a.example/echo", up)
	go func() {
		feed.Write(body(size)[:size/2])
		rl.rebind()
		feed.Write(body(size)[size/2:])
		feed.Close()
	}()
	rsp, err := c.Do(req)
	if err != nil {
		return err
	}
	got := make([]byte, size/2)
	if _, err := io.ReadFull(rsp.Body, got); err != nil {
		return err
	}
	rl.rebind()
	// A client that only listens does not notice that it has a new address; its next packet tells the server.
	if rsp, err := c.Get("https://a.example/bytes/0"); err != nil || rsp.StatusCode != 200 {
		return fmt.Errorf("from the new address: %v", err)
	}
	rest, err := io.ReadAll(rsp.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(append(got, rest...), body(size)) {
		return fmt.Errorf("the body came back different")
	}
	return nil
}

// A path that loses one packet in ten, each way.
func TestLoss(t *testing.T) {
	r := newRig(t, 2, nil)
	rl := newRelay(t, r.e.Addr())
	rl.losing(10, 7)
	c := r.via(rl)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			rsp, err := c.Post("https://a.example/echo", "text/plain", bytes.NewReader(body(200_000)))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := io.ReadAll(rsp.Body); err != nil || !bytes.Equal(got, body(200_000)) {
				t.Error(len(got), err)
			}
		})
	}
	wg.Wait()
}
