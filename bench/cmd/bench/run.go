package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench/contender"
	"weir/bench/report"
	"weir/bench/scenario"
)

// words is a flag that may be repeated and may hold a list.
type words []string

func (w *words) String() string { return strings.Join(*w, ",") }

func (w *words) Set(s string) error {
	*w = append(*w, strings.Split(s, ",")...)
	return nil
}

func measureFull(ctx context.Context, args []string) error  { return measureAll(ctx, args, false) }
func measureQuick(ctx context.Context, args []string) error { return measureAll(ctx, args, true) }

// measureAll is run and quick.
func measureAll(ctx context.Context, args []string, quick bool) error {
	opt, out, err := options(args, quick)
	if err != nil {
		return err
	}
	// Only here: origin, load generator and relay must end by the signal that comes when the bench has died.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if free, err := alone(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	} else {
		defer free()
	}
	p := newProgress(os.Stdout)
	opt.Progress = p
	rep, err := scenario.Run(ctx, opt)
	p.done()
	if rep == nil || len(rep.Scenarios) == 0 {
		return err
	}
	if err != nil {
		out = filepath.Join(out, "unfinished") // The last whole report stays.
	}
	path, fileErr := rep.WriteFiles(out)
	if fileErr != nil {
		return fileErr
	}
	if err != nil {
		return fmt.Errorf("%w; what was measured until then is in %s", err, path)
	}
	rep.WriteRatios(os.Stdout)
	rep.WriteSavings(os.Stdout)
	fmt.Printf("\n%.0f s. Report: %s\n", rep.Took, path)
	if n, all := rep.Disturbed(); n > 0 {
		fmt.Printf("The machine was not quiet: other processes disturbed %d of %d rows.\n", n, all)
	}
	if rep.Failed() {
		fmt.Println("Some rows FAILED; see above.")
		return exitError(exitFailed)
	}
	return nil
}

// alone makes sure that two benches on a machine know of each other; free forgets this one.
func alone() (free func() error, err error) {
	path := filepath.Join(os.TempDir(), "weir-bench.lock")
	f, err := os.Open(path) // another user's may be locked, but not opened to be made (sysctl fs.protected_regular)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, errors.New("another bench is running on this machine: the two disturb each other")
	}
	return f.Close, nil
}

// options reads the flags of run and quick.
func options(args []string, quick bool) (opt scenario.Options, out string, err error) {
	name := "run"
	opt = scenario.Options{Title: "Benchmark", Rounds: 3, Closed: 900 * time.Millisecond, Open: 1800 * time.Millisecond,
		Warmup: 200 * time.Millisecond, Budget: 14 * time.Minute, IdleConns: 100000}
	if quick {
		name = "quick"
		opt.Title, opt.Budget = "Quick benchmark", 110*time.Second
		opt.Closed, opt.Open, opt.Warmup = 400*time.Millisecond, 400*time.Millisecond, 100*time.Millisecond
	}
	f := flags(name)
	var scenarios, contenders words
	var proxyCPUs, originCPUs, loadCPUs cpuList
	weir := f.String("weir", "bin/weir", "`path` of weir")
	haproxy := f.String("haproxy", "", "`path` of HAProxy (default: as installed)")
	nginx := f.String("nginx", "", "`path` of nginx (default: as installed)")
	caddy := f.String("caddy", "", "`path` of Caddy (default: as installed)")
	f.Var(&scenarios, "scenario", "play only these `names` (list them with: bench list)")
	f.Var(&contenders, "contender", "only these: NAME, NAME=PATH or NAME=KIND:PATH, as in old=weir:/tmp/weir-before")
	f.IntVar(&opt.Rounds, "rounds", opt.Rounds, "rounds over all contenders")
	f.DurationVar(&opt.Closed, "closed", opt.Closed, "measuring time of a closed loop")
	f.DurationVar(&opt.Open, "open", opt.Open, "measuring time of an open loop")
	f.DurationVar(&opt.Warmup, "warmup", opt.Warmup, "warm-up before each")
	f.DurationVar(&opt.Budget, "budget", opt.Budget, "bound of the whole run; measuring times shrink to keep it")
	f.IntVar(&opt.IdleConns, "idle", opt.IdleConns, "idle connections, as far as the limit of open files allows")
	f.Var(&proxyCPUs, "proxy-cpus", "`CPUs` of the contender (default: the first)")
	f.Var(&originCPUs, "origin-cpus", "`CPUs` of the origin (default: the second)")
	f.Var(&loadCPUs, "load-cpus", "`CPUs` of the load generator (default: the third, or the second where there are two)")
	f.StringVar(&opt.Tracer, "tracer", "", "what counts system calls: strace, perf or off (default: strace, else perf)")
	f.StringVar(&opt.Engine, "origin-engine", "epoll", "what the origin runs on: epoll or netpoll")
	f.StringVar(&out, "out", "bench/report", "`directory` of the report")
	if err := parse(f, args); err != nil {
		return opt, out, err
	}
	if f.NArg() > 0 || opt.Rounds < 1 {
		return opt, out, usageError(f, "unexpected arguments or no rounds")
	}
	if opt.Scenarios, err = scenario.Select(scenarios, quick); err != nil {
		return opt, out, usageError(f, err.Error())
	}
	paths := map[string]string{contender.Weir: *weir, contender.HAProxy: *haproxy, contender.Spliced: *haproxy,
		contender.Nginx: *nginx, contender.Caddy: *caddy}
	if opt.Contenders, err = specs(contenders, paths); err != nil {
		return opt, out, usageError(f, err.Error())
	}
	allowed, err := contender.Allowed()
	if err != nil {
		return opt, out, err
	}
	opt.ProxyCPUs, opt.OriginCPUs, opt.LoadCPUs = placement(allowed)
	for _, c := range []struct{ given, to *[]int }{{(*[]int)(&proxyCPUs), &opt.ProxyCPUs},
		{(*[]int)(&originCPUs), &opt.OriginCPUs}, {(*[]int)(&loadCPUs), &opt.LoadCPUs}} {
		if len(*c.given) > 0 {
			*c.to = *c.given
		}
	}
	if slices.Equal(opt.ProxyCPUs, opt.LoadCPUs) {
		fmt.Fprintln(os.Stderr, "bench: contender and load generator share a CPU: throughput and latency mean nothing here")
	}
	return opt, out, nil
}

func usageError(f *flag.FlagSet, why string) error {
	fmt.Fprintf(os.Stderr, "%s: %s\n", f.Name(), why)
	return errUsage
}

// specs are the contenders asked for, or all of them.
func specs(names []string, paths map[string]string) (all []contender.Spec, err error) {
	if len(names) == 0 {
		names = contender.Kinds()
	}
	for _, n := range names {
		s, parseErr := contender.ParseSpec(n)
		if s.Path == "" {
			s.Path = paths[s.Kind]
		}
		all, err = append(all, s), errors.Join(err, parseErr)
	}
	return all, err
}

// placement spreads the three parties over the CPUs there are. The contender never shares its CPU unless it must.
func placement(allowed []int) (proxy, origin, load []int) {
	one := func(i int) []int { return allowed[min(i, len(allowed)-1):][:1] }
	return one(0), one(1), one(2)
}

// cpuList is a flag that holds CPU numbers.
type cpuList []int

func (c *cpuList) String() string { return strings.Trim(fmt.Sprint([]int(*c)), "[]") }

func (c *cpuList) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n >= 1024 {
			return fmt.Errorf("%q is no CPU number", part)
		}
		*c = append(*c, n)
	}
	return nil
}

// list prints what run knows.
func list(_ context.Context, args []string) error {
	f := flags("list")
	if err := parse(f, args); err != nil {
		return err
	}
	fmt.Println("scenarios:")
	for _, s := range scenario.Catalogue() {
		fmt.Printf("  %-18s %s\n", s.Name, s.Title)
	}
	fmt.Println("contenders:")
	for _, k := range contender.Kinds() {
		version := ""
		if b, err := contender.Find(contender.Spec{Name: k, Kind: k}); err != nil {
			version = err.Error()
		} else {
			version = b.Version
		}
		fmt.Printf("  %-18s %s\n", k, version)
	}
	fmt.Printf("%s, %d CPUs\n", runtime.Version(), runtime.NumCPU())
	return nil
}

// compare reads A and B: files or directories of reports, each with an optional #CONTENDER.
func compare(_ context.Context, args []string) error {
	f := flags("compare")
	all := f.Bool("all", false, "print what did not change as well")
	if err := parse(f, args); err != nil {
		return err
	}
	if f.NArg() != 2 {
		return usageError(f, "want A and B: reports (files or their directories), each with an optional #CONTENDER")
	}
	var sides [2]report.Side
	for i := range sides {
		path, name, _ := strings.Cut(f.Arg(i), "#")
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path += "/report.json"
		}
		rep, err := report.Read(path)
		if err != nil {
			return err
		}
		sides[i] = report.Side{Report: rep, Contender: name}
	}
	c := report.Compare(sides[0], sides[1])
	c.Write(os.Stdout, *all)
	if c.Worsened() {
		return exitError(exitWorsened)
	}
	return nil
}
