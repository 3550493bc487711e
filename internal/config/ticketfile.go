package config

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
)

// The sizes of a secret in a ticket key file.
const (
	ticketLineBytesMin = 48
	ticketLineBytesMax = 80
	ticketRawBytesMin  = 32
	ticketRawBytesMax  = 1024
	ticketLinesMax     = 16 // a ticket of unknown origin is tried with every one
)

// parseTicketKeys reads the content of a ticket-keys file. It is text: each line one secret of 48 to 80 random bytes in
// base64 or hex, newest first. The first line makes new tickets, all lines open them. Empty lines and lines that begin
// with # mean nothing. To rotate, put a new line on top on every machine, drop the last and reload:
//
//	openssl rand -base64 48
//
// A file that is not text is one secret of 32 to 1024 raw bytes.
func parseTicketKeys(b []byte) ([][]byte, error) {
	if !isText(b) {
		if len(b) < ticketRawBytesMin || len(b) > ticketRawBytesMax {
			return nil, fmt.Errorf("a raw key has %d to %d bytes, here are %d", ticketRawBytesMin, ticketRawBytesMax, len(b))
		}
		return [][]byte{bytes.Clone(b)}, nil
	}
	var keys [][]byte
	number := 0
	for line := range bytes.Lines(b) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := ticketLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for i, k := range keys {
			if bytes.Equal(k, key) {
				return nil, fmt.Errorf("line %d: the same key as key %d", number, i+1)
			}
		}
		if keys = append(keys, key); len(keys) > ticketLinesMax {
			return nil, fmt.Errorf("line %d: more than %d keys", number, ticketLinesMax)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

// ticketLine decodes one secret. What reads as hex is hex: as base64 it would be 72 bytes or more of a file that the
// other machines read differently.
func ticketLine(line []byte) ([]byte, error) {
	key, err := hex.AppendDecode(nil, line)
	if err != nil {
		encoding := base64.StdEncoding
		if len(line)%4 != 0 {
			encoding = base64.RawStdEncoding
		}
		if key, err = encoding.Strict().AppendDecode(nil, line); err != nil {
			return nil, errors.New("neither base64 nor hex")
		}
	}
	if n := len(key); n < ticketLineBytesMin || n > ticketLineBytesMax {
		return nil, fmt.Errorf("a key has %d to %d bytes, this one %d", ticketLineBytesMin, ticketLineBytesMax, n)
	}
	return key, nil
}

// isText reports whether b is printable ASCII in lines. 32 random bytes look like that once in 10^13 files.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}
