package tlsio

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"weir/netio"
)

// Failure is why a handshake or a connection failed, in one word for logs, metrics and causes.
type Failure uint8

// The failures.
const (
	FailNone        Failure = iota
	FailConnection          // the kernel lost the connection
	FailEndedEarly          // the peer closed before its handshake was done
	FailTruncated           // the peer's stream ended without close_notify
	FailPlainHTTP           // HTTP without TLS was sent
	FailNotTLS              // something else that is not TLS was sent
	FailVersion             // no version of TLS in common
	FailParameters          // no cipher suite, curve or signature algorithm in common
	FailALPN                // no application protocol in common
	FailCertificate         // the peer's certificate is missing, or was not accepted
	FailPeerAlert           // the peer sent a fatal alert
	FailProtocol            // the peer broke the protocol
	FailUnread              // the peer demands answers and does not read them
	FailLocal               // misuse, or an error of our own
)

var failureWords = [...]string{"none", "connection", "ended-early", "truncated", "plain-http", "not-tls", "version",
	"parameters", "alpn", "certificate", "peer-alert", "protocol", "unread", "local"}

// String returns the failure's word.
func (f Failure) String() string { return failureWords[f] }

// The errors of this package. Those of crypto/tls are passed on as they are.
var (
	ErrPlainHTTP  = errors.New("tlsio: the client sent HTTP without TLS")
	errEndedEarly = errors.New("tlsio: the peer closed the connection before the handshake was done")
	errTruncated  = errors.New("tlsio: the peer's stream ended without close_notify")
	errRefused    = errors.New("tlsio: no handshake was started: a limit is reached")
	errUnread     = errors.New("tlsio: the peer demands answers and does not read them")
)

// The alerts that say more about a failure than the error does (RFC 8446 section 6.2). crypto/tls does not export the
// type of its alerts.
const (
	alertHandshakeFailure      = 40
	alertBadCertificate        = 42
	alertUnsupportedCert       = 43
	alertCertificateExpired    = 45
	alertCertificateUnknown    = 46
	alertUnknownCA             = 48
	alertProtocolVersion       = 70
	alertInsufficientSecurity  = 71
	alertInternalError         = 80
	alertMissingExtension      = 109
	alertUnrecognizedName      = 112
	alertCertificateRequired   = 116
	alertNoApplicationProtocol = 120
)

const (
	contentAlert    = 21
	alertRecordSize = recordHeaderBytes + 2
)

// sniffAlert remembers the alert that crypto/tls sends before there are keys: after that it is not to be read.
func (c *Conn) sniffAlert(record []byte) {
	if len(record) == alertRecordSize && record[0] == contentAlert {
		c.alert = record[alertRecordSize-1]
	}
}

// diagnose finds the word for err.
func (c *Conn) diagnose(err error) Failure {
	switch {
	case errors.Is(err, errKernel):
		return FailConnection
	case err == errEndedEarly:
		return FailEndedEarly
	case err == ErrPlainHTTP:
		return FailPlainHTTP
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || badCertificate(err) {
		return FailCertificate
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return FailPeerAlert
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && header.Conn != nil {
		return FailNotTLS
	}
	return failureOfAlert(c.alert)
}

func badCertificate(err error) bool {
	if strings.HasSuffix(err.Error(), "client didn't provide a certificate") { // crypto/tls has no value for it
		return true
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.HostnameError](err)
	return ok
}

func failureOfAlert(alert uint8) Failure {
	switch alert {
	case alertProtocolVersion:
		return FailVersion
	case alertHandshakeFailure, alertInsufficientSecurity, alertMissingExtension:
		return FailParameters
	case alertNoApplicationProtocol:
		return FailALPN
	case alertBadCertificate, alertUnsupportedCert, alertCertificateExpired, alertCertificateUnknown, alertUnknownCA,
		alertCertificateRequired:
		return FailCertificate
	case alertInternalError, alertUnrecognizedName:
		return FailLocal
	}
	return FailProtocol
}

// plainHTTP reports whether the first bytes of a connection are those of an HTTP/1 request or the preface of HTTP/2.
func plainHTTP(b [recordHeaderBytes]byte) bool {
	switch string(b[:4]) {
	case "GET ", "PUT ", "PRI ", "HEAD", "POST", "DELE", "OPTI", "PATC", "CONN", "TRAC":
		return true
	}
	return false
}

// Reproachful reports whether TLS has failed through the peer's fault on a connection that stands: an alert says so, and the
// peer can read it if the connection is not reset under it.
func (c *Conn) Reproachful() bool {
	return c.readEnd == netio.Failed && c.failure != FailPeerAlert && (c.sendEnd == netio.OK || c.sendEnd == netio.Failed)
}

// Unsent is the ciphertext that waits for Flush, for who sends it by itself when TLS is over and the Conn is closed. It is
// valid until the next call of any method.
func (c *Conn) Unsent() []byte { return c.out }

// Refuse answers a connection that may not start its handshake, because of a limit, with an alert: internal_error, since
// it is "unrelated to the peer or the correctness of the protocol" (RFC 8446 section 6.2). Flush and Close come next.
func (c *Conn) Refuse() {
	if c.phase != phaseHello {
		panic("tlsio: Refuse after the handshake has begun")
	}
	c.phase = phaseFailed
	c.run, c.hello = nil, nil
	c.freeRecv()
	c.append([]byte{contentAlert, 3, 1, 0, 2, 2, alertInternalError})
	c.readEnd = netio.Failed
	c.fail(errRefused, FailLocal)
	c.Flush()
}
