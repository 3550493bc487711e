package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcServer answers as its requests ask it to.
type grpcServer struct {
	pb.UnimplementedTestServiceServer
	cancelled chan struct{} // one for each call whose client went away
}

// UnaryCall echoes, fails with the code that is asked for, or waits for its client to go.
func (s *grpcServer) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "behind"))
	if e := r.GetResponseStatus(); e != nil && e.Code != 0 {
		return nil, status.Error(codes.Code(e.Code), e.Message)
	}
	if string(r.GetPayload().GetBody()) == "wait" {
		<-ctx.Done()
		s.cancelled <- struct{}{}
		return nil, ctx.Err()
	}
	return &pb.SimpleResponse{Payload: r.Payload}, nil
}

func (s *grpcServer) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		r, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(r.GetPayload().GetBody())
	}
}

func (s *grpcServer) StreamingOutputCall(r *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for _, p := range r.GetResponseParameters() {
		if err := out.Send(&pb.StreamingOutputCallResponse{Payload: &pb.Payload{Body: make([]byte, p.Size)}}); err != nil {
			return err
		}
	}
	return nil
}

// FullDuplexCall echoes each message as it comes.
func (s *grpcServer) FullDuplexCall(both grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		r, err := both.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.cancelled <- struct{}{}
			return err
		}
		if err := both.Send(&pb.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
}

// grpcOver runs a dialogue with a gRPC server behind weir, in cleartext and over TLS.
func grpcOver(t *testing.T, dialogue func(t *testing.T, w *weir, s *grpcServer, c pb.TestServiceClient)) {
	overBoth(t, func(t *testing.T, over transport) {
		o, s := listen(t, over), &grpcServer{cancelled: make(chan struct{}, 4096)}
		creds := insecure.NewCredentials()
		if over == tlsed {
			creds = credentials.NewTLS(o.tls)
		}
		srv := grpc.NewServer(grpc.Creds(creds))
		pb.RegisterTestServiceServer(srv, s)
		go func() { _ = srv.Serve(o.listener()) }()
		t.Cleanup(srv.Stop)
		w := start(t, setup{over: over, servers: []*origin{o}, backend: "reuse = \"always\"\n" + speakH2(over)})
		dialogue(t, w, s, pb.NewTestServiceClient(w.grpc(t)))
	})
}

// grpc is a connection of a gRPC client.
func (w *weir) grpc(t *testing.T) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if w.over == tlsed {
		creds = credentials.NewTLS(asClient("a.example"))
	}
	c, err := grpc.NewClient("passthrough:///a.example", grpc.WithTransportCredentials(creds), grpc.WithAuthority("a.example"),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.front())
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func body(s string) *pb.Payload { return &pb.Payload{Body: []byte(s)} }

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestGRPCUnary(t *testing.T) {
	grpcOver(t, func(t *testing.T, w *weir, s *grpcServer, c pb.TestServiceClient) {
		ctx := within(t, patience)
		var trailer metadata.MD
		for _, size := range []int{0, 1, 70000, 2 * megabyte} {
			r, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: body(strings.Repeat("x", size))}, grpc.Trailer(&trailer))
			if err != nil || len(r.GetPayload().GetBody()) != size || strings.Join(trailer.Get("x-trailer"), "") != "behind" {
				t.Fatalf("%d bytes: got %d, trailer %v, %v", size, len(r.GetPayload().GetBody()), trailer, err)
			}
		}
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: "as told: größer"}})
			if wantCode(t, "an error", err, code); status.Convert(err).Message() != "as told: größer" {
				t.Errorf("%v: %q", code, status.Convert(err).Message())
			}
		}
		_, err := c.UnaryCall(within(t, 100*time.Millisecond), &pb.SimpleRequest{Payload: body("wait")})
		wantCode(t, "a deadline", err, codes.DeadlineExceeded)
		<-s.cancelled
		_, err = c.EmptyCall(ctx, &pb.Empty{})
		wantCode(t, "a method that is not there", err, codes.Unimplemented)
	})
}

func TestGRPCStreams(t *testing.T) {
	grpcOver(t, func(t *testing.T, w *weir, s *grpcServer, c pb.TestServiceClient) {
		ctx := within(t, patience)
		const messages, size = 50, 30000
		up, err := c.StreamingInputCall(ctx)
		for range messages {
			err = errors.Join(err, up.Send(&pb.StreamingInputCallRequest{Payload: body(strings.Repeat("x", size))}))
		}
		sum, recvErr := up.CloseAndRecv()
		if err = errors.Join(err, recvErr); err != nil || sum.AggregatedPayloadSize != messages*size {
			t.Errorf("client streaming: %v, %v", sum, err)
		}

		r := &pb.StreamingOutputCallRequest{}
		for range messages {
			r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: size})
		}
		down, err := c.StreamingOutputCall(ctx, r)
		n := 0
		for err == nil {
			var m *pb.StreamingOutputCallResponse
			if m, err = down.Recv(); err == nil {
				n += len(m.GetPayload().GetBody())
			}
		}
		if !errors.Is(err, io.EOF) || n != messages*size {
			t.Errorf("server streaming: %d bytes, %v", n, err)
		}

		both, err := c.FullDuplexCall(ctx)
		for i := range messages { // each waits for the one before: nothing may be held back
			text := fmt.Sprint("message ", i)
			err = errors.Join(err, both.Send(&pb.StreamingOutputCallRequest{Payload: body(text)}))
			m, recvErr := both.Recv()
			if err = errors.Join(err, recvErr); err != nil || string(m.GetPayload().GetBody()) != text {
				t.Fatalf("both ways: %v, %v", m, err)
			}
		}
		err = both.CloseSend()
		if _, recvErr := both.Recv(); err != nil || !errors.Is(recvErr, io.EOF) {
			t.Errorf("both ways, the end: %v, %v", err, recvErr)
		}

		cancelling, cancel := context.WithCancel(ctx)
		both, err = c.FullDuplexCall(cancelling)
		if err = errors.Join(err, both.Send(&pb.StreamingOutputCallRequest{Payload: body("x")})); err != nil {
			t.Fatal(err)
		}
		_, _ = both.Recv()
		cancel()
		_, err = both.Recv()
		wantCode(t, "a cancelled stream", err, codes.Canceled)
		select {
		case <-s.cancelled:
		case <-time.After(patience):
			t.Error("the server does not learn that its client has cancelled")
		}
	})
}

// Thousands of calls that end in every way leave nothing behind.
func TestGRPCManyCalls(t *testing.T) {
	grpcOver(t, func(t *testing.T, w *weir, s *grpcServer, c pb.TestServiceClient) {
		const workers, each = 20, 500
		var all sync.WaitGroup
		for n := range workers {
			all.Go(func() {
				for i := range each {
					call(t, c, n+i)
				}
			})
		}
		all.Wait()
		w.wantMetric(0, "weir_frontend_requests_in_flight")
		w.wantMetric(0, "weir_server_requests_in_flight")
		if n := w.metric("weir_server_connections"); n > 4 {
			t.Errorf("%v connections to the server", n)
		}
	})
}

// call makes one call; i says how it ends.
func call(t *testing.T, c pb.TestServiceClient, i int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, want := &pb.SimpleRequest{Payload: body("x")}, codes.OK
	switch i % 5 {
	case 1:
		r.ResponseStatus, want = &pb.EchoStatus{Code: int32(codes.NotFound)}, codes.NotFound
	case 2:
		r.Payload, want = body("wait"), codes.Canceled
		time.AfterFunc(time.Duration(i%7)*time.Millisecond, cancel)
	case 3:
		r.Payload = body(strings.Repeat("x", 20000))
	case 4:
		both, err := c.FullDuplexCall(ctx)
		if err == nil {
			err = both.Send(&pb.StreamingOutputCallRequest{Payload: body("x")})
		}
		if err == nil {
			_, err = both.Recv()
		}
		if err != nil {
			t.Errorf("stream: %v", err)
		}
		return // without its end: the deferred cancel resets it
	}
	_, err := c.UnaryCall(ctx, r)
	wantCode(t, fmt.Sprint("call ", i%5), err, want)
}

// Without a server gRPC learns it in its own way: a status in trailers, and nothing else.
func TestGRPCWithoutServer(t *testing.T) {
	overBoth(t, func(t *testing.T, over transport) {
		back := listen(t, over)
		back.close()
		w := start(t, setup{over: over, servers: []*origin{back}, backend: "limits = \"few\"\n" + speakH2(over), tables: "[limits.few]\nmax-retries = 1\n"})
		_, err := pb.NewTestServiceClient(w.grpc(t)).UnaryCall(within(t, patience), &pb.SimpleRequest{})
		wantCode(t, "no server", err, codes.Unavailable)

		client := w.dialH2(t)
		client.head(1, true, client.request("POST", "/grpc.testing.TestService/UnaryCall", "content-type", "application/grpc+proto", "te", "trailers")...)
		s := client.whole(1)
		if s.get(":status") != "200" || s.get("grpc-status") != "14" || len(s.body) > 0 || s.trailers != nil ||
			!strings.HasPrefix(s.get("content-type"), "application/grpc") || !strings.Contains(s.get("proxy-status"), "connect-failed") {
			t.Errorf("%v, %q, trailers %v", s.fields, s.body, s.trailers)
		}
	})
}

// A server of HTTP/1 carries what gRPC over it needs: trailers.
func TestGRPCTrailersOfH1Servers(t *testing.T) {
	t.Parallel()
	o := httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		w.Header().Set("X-TE", r.Header.Get("TE"))
		sayHello(w, r)
		w.Header().Set("Grpc-Status", "0")
	})
	w := start(t, setup{over: plain, servers: []*origin{o}})
	client := w.dialH2(t)
	client.head(1, true, client.request("POST", "/", "content-type", "application/grpc", "te", "trailers")...)
	if s := client.whole(1); s.trailer("grpc-status") != "0" || s.get("x-te") != "trailers" || string(s.body) != "hello" {
		t.Errorf("%v, %q, trailers %v", s.fields, s.body, s.trailers)
	}
}

// A server that ends a call at its deadline resets the stream. The client may hear of it before it looks at its own clock,
// and must not take it for a failure of the server.
func TestGRPCServerEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	back := listen(t, plain)
	w := start(t, h2cSetup(back, ""))
	client := w.dialH2(t)
	var server *h2Peer
	for i, c := range []struct{ timeout, status string }{{"1n", "4"}, {"1H", "14"}, {"nonsense", "14"}} {
		id := uint32(2*i + 1)
		client.head(id, true, client.request("POST", "/call", "content-type", "application/grpc", "te", "trailers", "grpc-timeout", c.timeout)...)
		if server == nil {
			server = back.acceptH2()
		}
		server.whole(id)
		server.must(server.framer.WriteRSTStream(id, http2.ErrCodeCancel))
		if s := client.whole(id); s.get("grpc-status") != c.status {
			t.Errorf("deadline %s: %v", c.timeout, s.fields)
		}
	}
}
