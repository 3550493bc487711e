package admin

import (
	"context"
	"errors"
	"net"
	"time"
)

// Options say where the control plane listens.
type Options struct {
	Socket  string // path of the runtime socket; "" none
	Replace bool   // take the socket's place although a weir answers there: the new process of an upgrade

	HTTP         string       // host:port of the admin listener; "" none
	HTTPListener net.Listener // a *net.TCPListener that is open already (an upgrade hands it over); instead of HTTP
}

// freshTime is longer than a request takes to follow its connection.
const freshTime = 500 * time.Millisecond

// What clients of the two listeners may cost. A worker is never among it: both only talk to the control plane.
var (
	socketBounds = bounds{
		conns: 32, input: 2 * requestBytesMax,
		request: 10 * time.Second, idle: 5 * time.Minute, write: 30 * time.Second, fresh: freshTime,
	}
	httpBounds = bounds{
		conns: 64, input: 4 * headBytesMax,
		request: 10 * time.Second, idle: 75 * time.Second, write: 30 * time.Second, fresh: freshTime,
	}
)

// Server is the control plane's two listeners.
type Server struct {
	control *control
	socket  *listener
	file    *socketFile
	http    *listener
	tcp     *net.TCPListener
}

// Listen opens what o names and serves it until Close. After an error nothing is left open.
func Listen(o Options, e Engine) (*Server, error) {
	s := &Server{control: newControl(e)}
	err := s.listenHTTP(o)
	if err == nil && o.Socket != "" {
		err = s.listenSocket(o)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Server) listenSocket(o Options) error {
	ln, file, err := listenUnix(o.Socket, o.Replace)
	if err != nil {
		return err
	}
	s.file = file
	s.socket, err = newListener(ln, socketBounds, func() protocol { return &lines{control: s.control} })
	return err
}

func (s *Server) listenHTTP(o Options) error {
	ln := o.HTTPListener
	if ln == nil {
		if o.HTTP == "" {
			return nil
		}
		var err error
		if ln, err = net.Listen("tcp", o.HTTP); err != nil {
			return err
		}
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return errors.New("the admin listener is not a TCP listener")
	}
	s.tcp = tcp
	site := &site{control: s.control, metrics: newMetrics()}
	var err error
	s.http, err = newListener(ln, httpBounds, func() protocol { return newExchange(site) })
	return err
}

// HTTPAddr is where the admin listener listens, with the port that the kernel chose for port 0; nil if there is none.
func (s *Server) HTTPAddr() net.Addr {
	if s.tcp == nil {
		return nil
	}
	return s.tcp.Addr()
}

// HTTPListener is the admin listener, for an upgrade to hand its descriptor over before Close; nil if there is none.
func (s *Server) HTTPListener() *net.TCPListener { return s.tcp }

// Close stops serving: no new connections, then every command that was begun is finished and answered, then the rest is
// closed. The runtime socket is removed unless a new process has put its own there. When ctx ends, what is left is cut.
func (s *Server) Close(ctx context.Context) error {
	var errs []error
	if s.file != nil {
		s.file.remove()
	}
	if s.http != nil {
		errs = append(errs, s.http.close(ctx))
	}
	if s.socket != nil {
		errs = append(errs, s.socket.close(ctx))
	}
	return errors.Join(errs...)
}
