package scenario

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"

	"weir/bench/contender"
	"weir/bench/origin"
)

// preflight checks with an independent client (net/http) that what is about to be measured is forwarding: bodies arrive
// byte for byte in both directions, and a missing page is missing. The load generator looks at lengths only.
func preflight(r *contender.Running, certPath string) error {
	client, end, err := checkingClient(r, certPath)
	if err != nil {
		return err
	}
	defer end()
	body := origin.Body(200 << 10)
	sum := sha256.Sum256(body)
	for _, c := range []struct {
		method, path string
		body         []byte
		status       int
		want         []byte
	}{
		{"GET", "/1k", nil, http.StatusOK, origin.Body(1 << 10)},
		{"GET", "/300k", nil, http.StatusOK, origin.Body(300 << 10)},
		{"GET", "/no/such/page", nil, http.StatusNotFound, []byte{}},
		{"POST", "/hash", body, http.StatusOK, []byte(hex.EncodeToString(sum[:]))},
	} {
		scheme := "http"
		if r.Setup.TLS() {
			scheme = "https"
		}
		req, err := http.NewRequest(c.method, fmt.Sprintf("%s://%s%s", scheme, r.Place.Listen, c.path), bytes.NewReader(c.body))
		if err != nil {
			return err
		}
		if r.Setup.Upgrades && c.body != nil {
			continue // A front that is set up for upgrades need not carry bodies well.
		}
		rsp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s %s: %w", c.method, c.path, err)
		}
		got, err := io.ReadAll(rsp.Body)
		rsp.Body.Close()
		switch {
		case err != nil:
			return fmt.Errorf("%s %s: %w", c.method, c.path, err)
		case rsp.StatusCode != c.status:
			return fmt.Errorf("%s %s: status %d, want %d", c.method, c.path, rsp.StatusCode, c.status)
		case !bytes.Equal(got, c.want):
			return fmt.Errorf("%s %s: the body (%d bytes) is not what the origin sent (%d)", c.method, c.path, len(got), len(c.want))
		}
	}
	return nil
}

// checkingClient is an HTTP client for the contender's front that verifies its certificate.
func checkingClient(r *contender.Running, certPath string) (client *http.Client, end func(), err error) {
	pem, err := os.ReadFile(certPath)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, nil, errors.New("no certificate in " + certPath)
	}
	config := &tls.Config{RootCAs: roots, ServerName: "bench.test"}
	client = &http.Client{Timeout: 10 * time.Second}
	switch r.Setup.Front {
	case contender.FrontH3:
		t := &http3.Transport{TLSClientConfig: config, DisableCompression: true,
			Dial: func(ctx context.Context, addr string, c *tls.Config, q *quic.Config) (*quic.Conn, error) {
				return quic.DialAddr(ctx, addr, c, q)
			}}
		client.Transport = t
		return client, func() { t.Close() }, nil
	case contender.FrontH2:
		t := &http2.Transport{TLSClientConfig: config, DisableCompression: true}
		client.Transport = t
		return client, t.CloseIdleConnections, nil
	}
	t := &http.Transport{TLSClientConfig: config, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext}
	client.Transport = t
	return client, t.CloseIdleConnections, nil
}
