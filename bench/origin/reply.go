package origin

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

type kind uint8

const (
	kindBody   kind = iota // a body out of the pattern
	kindUpload             // takes the request's body, answers with a short one
	kindHash               // answers with the SHA-256 of the request's body
	kindEcho               // answers with the request's body
	kindSocket             // WebSocket
	kindLost               // 404
)

const (
	inlineBytes  = 4 << 10 // bodies up to this are appended to their head; larger ones are gathered by writev
	patternBytes = 1 << 20
	repliesMax   = 4096 // remembered paths; a scenario uses one or two
)

// reply is the answer to a path, built once.
type reply struct {
	kind   kind
	status int
	size   int64
	delay  time.Duration
	h1     []byte // head; for bodies up to inlineBytes the whole response
	block  []byte // the header block for h2
}

func (r *reply) inline() bool { return r.size <= inlineBytes }

// pattern is what bodies are made of: it differs from page to page, so that a proxy that mixes blocks up is found out.
var pattern = func() []byte {
	b := make([]byte, patternBytes)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i)*0x9E3779B97F4A7C15)
	}
	return b
}()

// Body returns the first n bytes of every body, for whoever checks what came through.
func Body(n int) []byte {
	b := make([]byte, n)
	for at := 0; at < n; {
		at += copy(b[at:], pattern)
	}
	return b
}

// replies remembers by path; each loop has its own.
type replies map[string]*reply

func (rs replies) find(path []byte) *reply {
	if r := rs[string(path)]; r != nil {
		return r
	}
	r := newReply(string(path))
	if len(rs) < repliesMax {
		rs[string(path)] = r
	}
	return r
}

func newReply(path string) *reply {
	r := &reply{status: http.StatusOK}
	path, _, _ = strings.Cut(path, "?")
	if rest, ok := strings.CutPrefix(path, "/delay/"); ok {
		ms, after, _ := strings.Cut(rest, "/")
		n, err := strconv.Atoi(ms)
		if err != nil || n < 0 || n > 60000 {
			return lost()
		}
		r.delay, path = time.Duration(n)*time.Millisecond, "/"+after
	}
	switch path {
	case "/upload":
		r.kind, r.size = kindUpload, 2
	case "/hash":
		r.kind, r.size = kindHash, 64
	case "/echo":
		r.kind = kindEcho
	case "/ws":
		r.kind = kindSocket
	default:
		n, ok := parseSize(strings.TrimPrefix(path, "/"))
		if !ok {
			return lost()
		}
		r.size = n
	}
	r.build()
	return r
}

func lost() *reply {
	r := &reply{kind: kindLost, status: http.StatusNotFound}
	r.build()
	return r
}

// parseSize reads "0", "512", "16k", "100m".
func parseSize(s string) (int64, bool) {
	unit := int64(1)
	if digits, ok := strings.CutSuffix(s, "k"); ok {
		s, unit = digits, 1<<10
	} else if digits, ok := strings.CutSuffix(s, "m"); ok {
		s, unit = digits, 1<<20
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return n * unit, err == nil && n >= 0
}

func (r *reply) build() {
	r.h1 = appendHeadH1(nil, r.status, r.size)
	r.block = appendBlock(nil, r.status, r.size)
	if r.kind == kindUpload {
		r.h1 = append(r.h1, "ok"...)
	}
	if r.kind == kindBody && r.inline() {
		r.h1 = append(r.h1, pattern[:r.size]...)
	}
}

// appendHeadH1 writes a response head of about the size that common servers send.
func appendHeadH1(b []byte, status int, size int64) []byte {
	return fmt.Appendf(b, "HTTP/1.1 %d %s\r\nServer: origin\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", status, http.StatusText(status), size)
}

// appendBlock writes the same fields for h2 from the static table and literals that are not indexed (RFC 7541 6.2.2),
// so that the block is the same for every request.
func appendBlock(b []byte, status int, size int64) []byte {
	if status == http.StatusOK {
		b = append(b, 0x88)
	} else {
		b = appendLiteral(b, 8, strconv.Itoa(status))
	}
	b = appendLiteral(b, 54, "origin")                        // server
	b = appendLiteral(b, 33, "Thu, 01 Jan 2026 00:00:00 GMT") // date
	b = appendLiteral(b, 31, "application/octet-stream")      // content-type
	return appendLiteral(b, 28, strconv.FormatInt(size, 10))  // content-length
}

func appendLiteral(b []byte, name byte, value string) []byte {
	if name < 15 {
		b = append(b, name)
	} else {
		b = append(b, 0x0f, name-15)
	}
	b = append(b, byte(len(value))) // below 127, without Huffman coding
	return append(b, value...)
}
