package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"
)

// SocketDefault is where the runtime socket is unless the configuration says otherwise.
const SocketDefault = "/run/weir/weir.sock"

// ErrNobody: nothing answers at the socket. The command line exits with status 3.
var ErrNobody = errors.New("nothing answers at the runtime socket")

// dialTimeout bounds a connect; a unix socket connects at once unless the backlog is full.
const dialTimeout = 2 * time.Second

// Client is a connection to the runtime socket of a running weir. It is not safe for concurrent use.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
}

// Dial connects to a runtime socket. errors.Is(err, ErrNobody) tells that none is there from not being allowed to.
func Dial(path string) (*Client, error) {
	conn, err := net.DialTimeout("unix", path, dialTimeout)
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNobody, path)
	}
	return &Client{conn: conn, in: bufio.NewReader(conn)}, nil
}

// Do sends one request and waits for its response, however long the command takes; ctx bounds the wait. A refusal is a
// Response with OK false, not an error. After an error the client is of no more use.
//
// When the process ends before it answered, the error wraps ErrNobody.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	line, err := encodeLine(r)
	if err != nil {
		return Response{}, err
	}
	if len(line) > requestBytesMax {
		return Response{}, errRequestTooLong
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.conn.Write(line); err != nil {
		return Response{}, c.failed(ctx, err)
	}
	answer, err := c.readLine()
	if errors.Is(err, errResponseTooLong) {
		return Response{}, err
	}
	if err != nil {
		return Response{}, c.failed(ctx, err)
	}
	var rsp Response
	if err := json.Unmarshal(answer, &rsp); err != nil {
		return Response{}, fmt.Errorf("malformed response: %w", err)
	}
	return rsp, nil
}

var errResponseTooLong = fmt.Errorf("response longer than %d bytes", responseBytesMax)

// readLine reads up to a line feed; it does not trust the other side to ever send one.
func (c *Client) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > responseBytesMax {
			return nil, errResponseTooLong
		}
	}
}

func (c *Client) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w any more: %w", ErrNobody, err)
}

// Close ends the connection. A command that was begun is carried through all the same.
func (c *Client) Close() error { return c.conn.Close() }
