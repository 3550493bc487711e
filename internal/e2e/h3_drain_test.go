package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// An address that loses its HTTP/3 in a reload and gets it back, while clients are there, serves old and new ones.
func TestH3OffAndOn(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, global: outlives, backend: `reuse = "always"`})
	turn := func(h3 string) {
		t.Helper()
		w.rewrite(func(s *setup) { s.bind = "h3 = " + h3 })
		w.reload()
	}
	var all []*upload
	more := func(why string) {
		t.Helper()
		for range 6 { // enough to reach all workers
			all = append(all, w.h3Client(t).upload(t))
		}
		goOn(why, all)
	}
	more("at first")
	for range 2 {
		turn("false")
		goOn("off", all)
		var refused *quic.TransportError
		if _, err := w.h3Client(t).Get("https://a.example/"); !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
			t.Errorf("a new client while it is off: %v", err)
		}
		turn("true")
		more("on again")
	}
	endAll(all)
	turn("false")
	for _, u := range all {
		u.client.close()
	}
	eventually(t, "the sockets are closed", func() bool {
		_, err := w.h3Client(t).Get("https://a.example/")
		var refused *quic.TransportError
		return err != nil && !errors.As(err, &refused)
	})
	turn("true")
	all = nil
	more("on new sockets")
	endAll(all)
}

// The last response of a connection that is drained comes whole, also when its end is lost at first.
func TestH3DrainLosesNoEnd(t *testing.T) {
	t.Parallel()
	w := start(t, setup{over: tlsed, bind: "h3 = true", servers: []*origin{echoOrigin(t)}, global: "hard-stop-after = \"1m\"", backend: `reuse = "always"`})
	path := newPath(t, w.front())
	c := w.h3ClientVia(t, path)
	u := c.upload(t)
	u.goesOn("before")
	w.terminate()
	eventually(t, "no request is taken any more", func() bool { return isRejected(c.conn.Load()) })
	path.swallow(2)
	u.ends()
	w.wantEnd()
	if strings.Contains(w.log.String(), "drain ended early") {
		t.Error("the drain did not end by itself")
	}
}

// isRejected reports whether a new request on a connection is told to go elsewhere (RFC 9114 section 5.2).
func isRejected(q *quic.Conn) bool {
	s, err := q.OpenStream()
	if err != nil {
		return false
	}
	_, _ = s.Write([]byte{0x01}) // the type of a HEADERS frame
	_ = s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = s.Read(make([]byte, 1))
	s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	var reset *quic.StreamError
	return errors.As(err, &reset) && reset.ErrorCode == quic.StreamErrorCode(http3.ErrCodeRequestRejected)
}
