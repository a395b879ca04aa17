package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirlb/weir/bench/internal/child"
	"github.com/weirlb/weir/bench/internal/load"
	"github.com/weirlb/weir/bench/internal/procstat"
)

// env is the ground all measurements share.
type env struct {
	settings
	self        string // this program, for its tools
	dir         string // for configurations and logs
	programs    map[string]string
	targets     []int // ports of the target
	origin      *child.Process
	connections int
	started     int // processes so far
}

// drive measures as the arguments say and prints the report.
func drive(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	e, err := prepare(ctx, s)
	if err != nil {
		return err
	}
	defer os.RemoveAll(e.dir)
	if err := e.startOrigin(); err != nil {
		return err
	}
	defer e.origin.Stop()

	b := newBench(e)
	if err := b.run(ctx); err != nil {
		return err
	}
	report := b.report(ctx)
	if err := report.save(s.json, s.markdown); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(report.text()); err != nil {
		return err
	}
	return report.incomplete()
}

// prepare checks the machine and finds the programs before anything is started.
func prepare(ctx context.Context, s settings) (e *env, err error) {
	if err := checkCores(s.proxyCore, s.loadCore, s.secondCore); err != nil {
		return nil, err
	}
	e = &env{settings: s, connections: max(3*max(s.streams, s.held, manyStreams, connections)+100, 2*manyConnections+1000)}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return nil, fmt.Errorf("reading the limit of open files: %w", err)
	}
	if files.Max < uint64(e.connections) {
		return nil, fmt.Errorf("at most %d files may be open, %d are needed: raise the hard limit (ulimit -Hn) or lower -held and -streams", files.Max, e.connections)
	}
	if e.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	if e.dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return nil, err
	}
	if err := writeCertificate(e.dir); err != nil {
		os.RemoveAll(e.dir)
		return nil, err
	}
	if e.programs, err = findPrograms(ctx, s.only, s.weir, e.dir); err == nil {
		// From here on this program shares the load's core: on the proxy's it
		// would be the foreign process it looks for.
		err = moveTo(s.loadCore)
	}
	if err != nil {
		os.RemoveAll(e.dir)
		return nil, err
	}
	return e, nil
}

// checkCores makes sure that this process may use both cores.
func checkCores(cores ...int) error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("reading which cores may be used: %w", err)
	}
	for _, core := range cores {
		if core < 0 || !allowed.IsSet(core) {
			return fmt.Errorf("core %d cannot be used here: two cores are needed, one for the proxy and one for load and target (-proxy-core, -load-core)", core)
		}
	}
	return nil
}

// moveTo moves all threads of this process to a core; later ones follow.
func moveTo(core int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return fmt.Errorf("thread %q: %w", thread.Name(), err)
		}
		if err := setCores(id, core); err != nil {
			return err
		}
	}
	return nil
}

// targetPorts is how many targets are balanced over.
const targetPorts = 3

// startOrigin starts the target and learns its ports.
func (e *env) startOrigin() error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	e.origin, err = e.start("origin", []int{e.loadCore}, writer, e.self, "origin", strconv.Itoa(targetPorts))
	writer.Close() // the child has its own copy
	if err != nil {
		return err
	}
	line, err := bufio.NewReader(reader).ReadBytes('\n')
	if err != nil {
		e.origin.Stop()
		return e.origin.Ended()
	}
	if err := json.Unmarshal(line, &e.targets); err != nil {
		e.origin.Stop()
		return fmt.Errorf("the target's ports: %w", err)
	}
	return nil
}

// measure measures the candidate once. The error is one that another try would meet too.
func (e *env) measure(ctx context.Context, c candidate, s scenario) (load.Result, verdict, error) {
	if measure := apart[s.apart]; measure != nil {
		return measure(e, ctx, c, s)
	}
	return e.once(ctx, c, s, []int{e.proxyCore})
}

// once starts the candidate on the cores, loads it once and stops it. Starting it anew
// each time keeps the others off its core and its memory free of earlier runs.
func (e *env) once(ctx context.Context, c candidate, s scenario, cores []int) (load.Result, verdict, error) {
	proxy, err := c.launch(ctx, e, cores, 0)
	if err != nil {
		return load.Result{}, verdict{reason: err.Error(), final: true}, ctx.Err()
	}
	defer proxy.Stop()
	port := proxy.site.Port
	if s.tls {
		port = proxy.site.TLSPort
	}
	return e.drive(ctx, proxy, s, port, cores)
}

// drive loads a candidate that runs.
func (e *env) drive(ctx context.Context, proxy *running, s scenario, port int, cores []int) (load.Result, verdict, error) {
	pids, err := procstat.Tree(proxy.PID())
	if err != nil {
		return load.Result{}, verdict{}, proxy.Ended()
	}
	options := s.options(e.sizes())
	options.Port, options.PIDs = port, pids
	options.TargetPIDs = []int{e.origin.PID()}
	options.ProxyCores, options.LoadCore = cores, e.loadCore
	options.WarmUp, options.For = e.warmUp, e.count
	if options.Mode == load.Hold {
		options.For = time.Minute // for the held requests' answers, which end it
	}
	result, err := e.load(ctx, options)
	if ctx.Err() != nil {
		return load.Result{}, verdict{}, ctx.Err()
	}
	if err != nil {
		return load.Result{}, verdict{reason: fmt.Sprintf("%v; %s printed: %s", err, proxy.name, proxy.Printed())}, nil
	}
	return result, e.limits.judge(options.Mode, s.units(e.sizes()), result), nil
}

func (s settings) sizes() sizes {
	return sizes{warmUp: s.warmUp, count: s.count, streams: s.streams, held: s.held}
}

// load runs the load in a process of its own, next to the target.
func (e *env) load(ctx context.Context, o load.Options) (load.Result, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return load.Result{}, err
	}
	cmd := e.command([]int{e.loadCore}, e.self, "load", string(text))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return load.Result{}, fmt.Errorf("starting the load: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err = cmd.Wait()
	stop()
	if err != nil {
		return load.Result{}, fmt.Errorf("the load failed: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var result load.Result
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return load.Result{}, fmt.Errorf("reading the load's result: %w", err)
	}
	return result, nil
}
