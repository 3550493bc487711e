package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The runtime socket speaks lines: a request is one JSON object on one line, and so is its response. A client may send the
// next request after it has the response; requests of one connection are done one after the other.

// Bounds of the wire.
const (
	requestBytesMax  = 16 << 10
	requestArgsMax   = 16
	responseBytesMax = 256 << 20 // what a client is ready to hold; a list of all sessions may be long
)

// Request is one command.
type Request struct {
	Cmd  string   `json:"cmd"`
	Args []string `json:"args,omitempty"`
	JSON bool     `json:"json,omitempty"` // for "show": Data is a JSON value, not text
}

// Response is the answer to a Request.
type Response struct {
	OK     bool            `json:"ok"`
	Reason string          `json:"reason,omitempty"` // why it was refused
	Data   json.RawMessage `json:"data,omitempty"`   // a JSON string when text was asked for
}

// Text is Data as text: the string it holds, or the JSON value itself.
func (r *Response) Text() string {
	var text string
	if json.Unmarshal(r.Data, &text) == nil {
		return text
	}
	return string(r.Data)
}

// Generations reads the Data of reload, drain, stop and upgrade.
func (r *Response) Generations() (g Generations, err error) {
	err = json.Unmarshal(r.Data, &g)
	return g, err
}

var errRequestTooLong = fmt.Errorf("request longer than %d bytes", requestBytesMax)

// decodeRequest reads one line without its line feed. It refuses what it does not know, so that a misspelt key is not
// taken for its default.
func decodeRequest(line []byte) (Request, error) {
	var r Request
	if len(line) > requestBytesMax {
		return r, errRequestTooLong
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Request{}, fmt.Errorf("malformed request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("malformed request: more than one value on a line")
	}
	if r.Cmd == "" {
		return Request{}, errors.New("malformed request: no cmd")
	}
	if len(r.Args) > requestArgsMax {
		return Request{}, fmt.Errorf("malformed request: more than %d args", requestArgsMax)
	}
	return r, nil
}

// encodeLine appends v as one line.
func encodeLine(v any) ([]byte, error) {
	line, err := json.Marshal(v)
	return append(line, '\n'), err
}

// refusal is the response to what could not be done.
func refusal(err error) Response { return Response{Reason: err.Error()} }

// done is the response to what was done, with a value that can always be marshalled.
func done(v any) Response {
	data, err := json.Marshal(v)
	if err != nil {
		return refusal(fmt.Errorf("cannot encode the answer: %w", err))
	}
	return Response{OK: true, Data: data}
}
