package engine

import (
	"bytes"
	"fmt"
	"net"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"weir/internal/buf"
	"weir/internal/config"
	"weir/internal/msg"
	"weir/netio"
)

// costRig is an engine with one worker between a client and an origin that allocate nothing themselves, so that what the
// process allocates is the engine's.
type costRig struct {
	e        *Engine
	sockaddr unix.Sockaddr
	hasty    unix.Sockaddr // newSecureRig: a frontend that gives up soon
}

var (
	costRequest  = []byte("GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n")
	costResponse = []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok")
	costEnd      = []byte("\r\n\r\nok")
)

// newCostRig starts an engine; frontend and backend are further lines of their tables.
func newCostRig(t testing.TB, frontend, backend string) *costRig {
	t.Helper()
	return startCostRig(t, t.TempDir(), "", frontend, backend)
}

// startCostRig starts an engine whose files are in dir; bind is further keys of its listener.
func startCostRig(t testing.TB, dir, bind, frontend, backend string) *costRig {
	t.Helper()
	origin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { origin.Close() })
	go serveCost(origin)
	at := newH3Host()
	r := &costRig{sockaddr: &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}}
	text := fmt.Sprintf(`
[global]
workers = 1
pin-cpus = false

[timeouts.long]
http-request = "60s"
http-keep-alive = "600s"

[frontend.web]
bind = [{ address = "%v"%s }]
backend = "api"
timeouts = "long"
%s

[backend.api]
servers = [{ name = "s1", address = "%v" }]
%s
`, at, bind, frontend, origin.Addr(), backend)
	cfg, rep := config.Parse("cost.toml", []byte(text), dir)
	if cfg == nil {
		t.Fatalf("configuration: %v", rep)
	}
	if r.e, err = Start(cfg, Options{Files: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.e.Stop)
	return r
}

// serveCost answers every request, one read for each: the engine sends a head in one piece.
func serveCost(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 4096)
			for n := 0; ; {
				m, err := c.Read(buf[n:])
				if err != nil {
					return
				}
				n += m
				if bytes.HasPrefix(buf[:n], costPreface) {
					serveCostH2(c, buf[:n])
					return
				}
				if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
					c.Write(costResponse)
					n = 0
				}
			}
		}()
	}
}

// connect opens a connection. It is a bare descriptor: the clients of this process must not be counted as the engine's.
func (r *costRig) connect(t testing.TB) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, r.sockaddr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// exchangeOn sends one request and reads its response.
func exchangeOn(t testing.TB, fd int) {
	var buf [1024]byte
	if _, err := unix.Write(fd, costRequest); err != nil {
		t.Fatal(err)
	}
	for n := 0; !bytes.HasSuffix(buf[:n], costEnd); {
		m, err := unix.Read(fd, buf[n:])
		if err != nil || m == 0 {
			t.Fatal(m, err)
		}
		n += m
	}
}

// visit is a connection for one request.
func (r *costRig) visit(t testing.TB) {
	fd := r.connect(t)
	exchangeOn(t, fd)
	unix.Close(fd)
}

// heap is the memory in use after all garbage was collected, between two turns of the worker.
func (r *costRig) heap() int64 {
	r.e.onWorkers(func(*worker) {})
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// allocated is how many objects the workers have allocated when f and the turn after it are over. It is their own stacks that
// tell: what the whole process allocates has the runtime's threads and timers in it, and what tests before this one have left
// running, which once was more than was allowed for.
func (r *costRig) allocated(f func()) int64 {
	rate := runtime.MemProfileRate
	runtime.MemProfileRate = 1
	defer func() { runtime.MemProfileRate = rate }()
	before := workerObjects()
	f()
	r.e.onWorkers(func(*worker) {})
	return workerObjects() - before
}

// workerObjects is how many objects have been allocated below a worker's loop while every allocation was recorded.
func workerObjects() (n int64) {
	runtime.GC() // the profile is that of the last cycle but one
	runtime.GC()
	runtime.GC()
	var records []runtime.MemProfileRecord
	for size, ok := 0, false; !ok; {
		records = make([]runtime.MemProfileRecord, size+50)
		size, ok = runtime.MemProfile(records, true)
		if ok {
			records = records[:size]
		}
	}
	for i := range records {
		frames := runtime.CallersFrames(records[i].Stack())
		for more := true; more; {
			var frame runtime.Frame
			if frame, more = frames.Next(); frame.Function == "weir/engine.(*worker).run" {
				n += records[i].AllocObjects
				break
			}
		}
	}
	return n
}

func TestKeepAliveExchangeAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct{ name, frontend, backend string }{
		{"plain", `forwarded = "off"`, ""},
		{"forwarded", `forwarded = "both"`, ""},
		{"sticky", "", `persistence = { type = "source-ip" }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newCostRig(t, c.frontend, c.backend)
			fd := r.connect(t)
			defer unix.Close(fd)
			const n = 2000
			run := func() {
				for range n {
					exchangeOn(t, fd)
				}
			}
			run()
			if got := r.allocated(run); got > 0 {
				t.Errorf("%d exchanges allocate %d objects", n, got)
			}
		})
	}
}

func TestConnectionForEachRequestAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	r := newCostRig(t, "", `reuse = "always"`)
	const n = 200
	run := func() {
		for range n {
			r.visit(t)
		}
	}
	run()
	if got := r.allocated(run); got > n/20 { // tables grow when a client's end is seen after the next one's connect
		t.Errorf("%d connections with a request each allocate %d objects", n, got)
	}
}

// files skips a test where fewer descriptors than it needs may be open.
func files(t *testing.T, n uint64) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur < n {
		t.Skipf("%d descriptors are needed, %d are allowed (%v)", n, l.Cur, err)
	}
}

// idleConns is how many real connections the memory of an idle one is measured with.
const idleConns = 5000

func TestIdleSessionIsSmall(t *testing.T) {
	r := newCostRig(t, "", `reuse = "always"`)
	files(t, 3*idleConns)
	r.visit(t) // what is made once
	var held []int
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	before := r.heap()
	for range idleConns {
		held = append(held, r.connect(t))
	}
	each := (r.heap() - before) / idleConns
	t.Logf("%d bytes for an idle connection that has sent nothing", each)
	if each > 512 {
		t.Errorf("a connection that has sent nothing holds %d bytes, more than 512", each)
	}
	for _, fd := range held {
		exchangeOn(t, fd)
	}
	each = (r.heap() - before) / idleConns
	t.Logf("%d bytes for an idle connection that has carried a request", each)
	if each > 512 {
		t.Errorf("an idle connection holds %d bytes, more than 512", each)
	}
}

func TestRequestIDsAreHexAndDiffer(t *testing.T) {
	ids := requestIDs{prefix: 0x0123456789abcdef, counter: 7}
	seen := map[string]bool{}
	for range 10000 {
		counter := ids.counter + 1
		id := string(ids.next(nil))
		want := fmt.Sprintf("%016x%016x", ids.prefix, mix(ids.prefix+counter*0x9e3779b97f4a7c15))
		if id != want || seen[id] {
			t.Fatalf("request ID %q, want %q, made before: %t", id, want, seen[id])
		}
		seen[id] = true
	}
}

// TestRecycledExchangeIsEmpty fills every field of a record and looks that recycle leaves what a new one has: it empties the
// record field by field, and one that was forgotten would reach another client's exchange.
func TestRecycledExchangeIsEmpty(t *testing.T) {
	w := &worker{bufs: buf.NewPool(0)}
	w.wheel = netio.NewWheel(0)
	x := w.exchanges.take(w)
	skip := map[string]bool{"w": true, "token": true, "timer": true, "place": true, "pool": true}
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if !skip[v.Type().Field(i).Name] && v.Type() != reflect.TypeFor[buf.Queue]() {
					fill(v.Field(i))
				}
			}
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Interface:
			if v.Type() == reflect.TypeFor[frontStream]() {
				v.Set(reflect.ValueOf(goneFront{}))
			} else {
				v.Set(reflect.ValueOf(goneBack{}))
			}
		default:
			if v.CanInt() {
				v.SetInt(1)
			} else {
				v.SetUint(1)
			}
		}
	}
	fill(reflect.ValueOf(x).Elem())
	x.req.replay.held.Append([]byte("left over"))
	x.recycle()
	if cap(x.req.head.Buf) == 0 || cap(x.req.head.Fields) == 0 || len(x.req.head.Buf)+len(x.req.head.Fields)+len(x.req.trailers.Buf) > 0 {
		t.Error("a recycled head has lost its memory, or kept its bytes")
	}
	x.req.head, x.req.trailers = msg.Head{}, msg.Head{}
	fresh := &exchange{w: w, token: x.token, timer: x.timer, place: x.place}
	fresh.req.replay.held.Init(w.bufs)
	if !reflect.DeepEqual(x, fresh) {
		t.Errorf("a recycled record is not empty:\n%+v\nwant\n%+v", x, fresh)
	}
}
