package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/internal/admin"
	"weir/internal/config"
)

// target says which running weir a command talks to.
type target struct{ socket, file string }

// addFlags gives a command the two ways to find the runtime socket.
func (t *target) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&t.socket, "runtime-socket", "", "`path` of the runtime socket (default "+admin.SocketDefault+")")
	c.Flags().StringVarP(&t.file, "config", "c", "", "configuration `file` whose runtime-socket is meant")
	c.MarkFlagsMutuallyExclusive("runtime-socket", "config")
}

// path finds the runtime socket.
func (t *target) path() (string, error) {
	switch {
	case t.socket != "":
		return t.socket, nil
	case t.file == "":
		return admin.SocketDefault, nil
	}
	path, err := config.RuntimeSocket(t.file)
	if err == nil && path == "" {
		err = fmt.Errorf("%s has no runtime socket", t.file)
	}
	return path, err
}

// dial connects to the running weir.
func (t *target) dial() (*admin.Client, error) {
	path, err := t.path()
	if err != nil {
		return nil, refused(err)
	}
	client, err := admin.Dial(path)
	return client, refused(err)
}

// ask sends one request and returns the answer. What the other side refuses is an error with its reason.
func (t *target) ask(c *cobra.Command, r admin.Request) (admin.Response, error) {
	client, err := t.dial()
	if err != nil {
		return admin.Response{}, err
	}
	defer client.Close()
	return askOn(c, client, r)
}

func askOn(c *cobra.Command, client *admin.Client, r admin.Request) (admin.Response, error) {
	rsp, err := client.Do(c.Context(), r)
	if err != nil {
		return rsp, refused(err)
	}
	if !rsp.OK {
		return rsp, refused(errors.New(strings.TrimSpace(rsp.Reason)))
	}
	return rsp, nil
}

// writeData prints an answer: JSON indented, text as it came.
func writeData(w io.Writer, rsp *admin.Response, asJSON bool) error {
	if !asJSON {
		_, err := io.WriteString(w, rsp.Text())
		return refused(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, rsp.Data, "", "  "); err != nil {
		return refused(err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return refused(err)
}
