package engine

import (
	"weir/internal/limit"
	"weir/internal/msg"
	"weir/internal/stats"
)

// retryRule says what may be tried again after a failure, before the client has seen any of a response.
type retryRule uint8

const (
	retryNever   retryRule = iota
	retryReplay            // if the method is idempotent and the whole body sent so far is still held
	retryAnyway            // the server said, or we know, that it has not seen the request
	retryConnect           // a connect failed: up to max-retries times, the last time on another server
)

// blame says on whose side a failure began. It decides what the access log and the metrics count it under.
type blame uint8

const (
	blameNobody blame = iota
	blameClient
	blameServer
	blameWeir
)

// cause is why an exchange did not end the usual way. The word is the same in the access log, in Proxy-Status, in the
// metrics and in the documentation; this file is the only place that maps it to a status and to a retry rule.
type cause struct {
	word   string
	status uint16 // the answer weir makes when the response has not begun; 0: none can be made
	proxy  string // error type of RFC 9209 section 2.3
	retry  retryRule
	blame  blame
	index  uint8 // position in causes, for counters

	proxyStatus []byte // the whole value of Proxy-Status
	line        []byte // the body of the answer
}

// causes lists every cause, in the order in which they were declared.
var causes []*cause

func newCause(word string, status uint16, proxy string, retry retryRule, b blame) *cause {
	c := &cause{word: word, status: status, proxy: proxy, retry: retry, blame: b, index: uint8(len(causes))}
	c.proxyStatus = []byte("weir; error=" + proxy + `; details="` + word + `"`)
	c.line = []byte(word + "\n")
	causes = append(causes, c)
	if len(causes) > stats.Reasons {
		panic("engine: more causes than counters")
	}
	return c
}

// causeOf is the cause of a fault in a client's message.
func causeOf(err *msg.Error) *cause {
	switch err.Status {
	case 200:
		return causeOptionsEnd
	case 414:
		return causeTargetTooLong
	case 417:
		return causeExpectation
	case 431:
		return causeHeadTooLarge
	case 501:
		return causeOf501[err.Reason]
	}
	return causeBadRequest
}

var causeOf501 = map[string]*cause{
	"unknown-method":   causeMethodNotServed,
	"unknown-coding":   causeUnknownCoding,
	"unknown-protocol": causeUnknownProtocol,
	"max-forwards":     causeMaxForwards,
}

// causeWords are the words of all causes by index, for the control plane.
func causeWords() []string {
	words := make([]string, len(causes))
	for i, c := range causes {
		words[i] = c.word
	}
	return words
}

// Faults of the client's making.
var (
	causeBadRequest      = newCause("bad-request", 400, "http_request_error", retryNever, blameClient)
	causeRequestTimeout  = newCause("request-timeout", 408, "http_request_error", retryNever, blameClient)
	causeTargetTooLong   = newCause("uri-too-long", 414, "http_request_error", retryNever, blameClient)
	causeExpectation     = newCause("expectation-failed", 417, "http_request_error", retryNever, blameClient)
	causeMisdirected     = newCause("misdirected", 421, "http_request_error", retryNever, blameClient)
	causeTooEarly        = newCause("too-early", 425, "http_request_error", retryNever, blameClient)
	causeHeadTooLarge    = newCause("head-too-large", 431, "http_request_error", retryNever, blameClient)
	causeMethodNotServed = newCause("unknown-method", 501, "http_request_error", retryNever, blameClient)
	causeUnknownCoding   = newCause("unknown-coding", 501, "http_request_error", retryNever, blameClient)
	causeUnknownProtocol = newCause("unknown-protocol", 501, "http_request_error", retryNever, blameClient)
	causeMaxForwards     = newCause("max-forwards", 501, "http_request_error", retryNever, blameClient)
	causeOptionsEnd      = newCause("max-forwards", 200, "http_request_error", retryNever, blameClient)
	causeClientClosed    = newCause("client-closed", 0, "", retryNever, blameClient)
	causeClientTimeout   = newCause("client-timeout", 408, "http_request_error", retryNever, blameClient)
)

// Faults of a server's making. Those that an operator tells apart by the error type of Proxy-Status alone share a word.
var (
	causeBadResponse    = newCause("bad-response", 502, "http_protocol_error", retryNever, blameServer)
	causeStale          = newCause("stale-connection", 502, "connection_terminated", retryReplay, blameServer)
	causeServerClosed   = newCause("server-closed", 502, "connection_terminated", retryNever, blameServer)
	causeServerRefused  = newCause("stale-connection", 502, "connection_terminated", retryAnyway, blameServer)
	causeServerReset    = newCause("server-closed", 502, "http_response_incomplete", retryNever, blameServer)
	causeConnectFailed  = newCause("connect-failed", 503, "connection_refused", retryConnect, blameServer)
	causeConnectTimeout = newCause("connect-timeout", 503, "connection_timeout", retryConnect, blameServer)
	causeTLSFailed      = newCause("connect-failed", 503, "tls_protocol_error", retryConnect, blameServer)
	causeServerTimeout  = newCause("server-timeout", 504, "http_response_timeout", retryNever, blameServer)
)

// What weir itself decided.
var (
	causeNoServer     = newCause("no-server", 503, "destination_unavailable", retryNever, blameWeir)
	causeQueueFull    = newCause("queue-full", 503, "connection_limit_reached", retryNever, blameWeir)
	causeQueueTimeout = newCause("queue-timeout", 503, "connection_limit_reached", retryNever, blameWeir)
	causeTunnelIdle   = newCause("tunnel-timeout", 0, "", retryNever, blameNobody)
	causeDraining     = newCause("draining", 503, "proxy_internal_response", retryNever, blameWeir)
	causeNoFiles      = newCause("no-descriptors", 503, "proxy_internal_error", retryConnect, blameWeir)
)

// causeLimit are the refusals by a limit axis that cannot be waited for.
var causeLimit = func() (c [limit.Axes]*cause) {
	for a := range limit.Axes {
		c[a] = newCause("limit:"+a.String(), 503, "connection_limit_reached", retryNever, blameWeir)
	}
	return c
}()

// causeRateLimited are the refusals of a request, as against a connection, by a rate.
var causeRateLimited = func() (c [limit.Axes]*cause) {
	for _, a := range []limit.Axis{limit.MaxSessRate, limit.RateLimitSessions} {
		c[a] = newCause("limit:"+a.String(), 429, "http_request_denied", retryNever, blameWeir)
	}
	return c
}()
