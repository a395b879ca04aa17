// Package process launches instances as processes of this machine. They outlive Weir: their output goes straight to
// files, they are in a process group of their own, and each carries marks in its environment by which the next Weir finds it.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/weirlb/weir/fleet"
)

// The marks in an instance's environment.
const (
	markInstance = "WEIR_INSTANCE" // its id
	markPool     = "WEIR_POOL"
	markState    = "WEIR_STATE"     // the state directory of the Weir it belongs to: another Weir's instances are left alone
	markAddr     = "WEIR_ADDR"      // where it serves
	markPlace    = "WEIR_PLACEMENT" // its type, market and zone, when it has them
)

// Options are where a provider works.
type Options struct {
	Dir  string // state directory, absolute: logs are in Dir/logs/POOL/ID.log
	Host string // instances serve on this address; "" is 127.0.0.1
	Log  *slog.Logger
}

// Provider launches processes.
type Provider struct {
	o Options

	mu    sync.Mutex
	ports map[int]bool   // given to an instance that has not ended
	held  map[string]int // instances that run or are about to, by placement

	tenants     map[string]*tenant   // those that have a placement, by id
	markets     map[string]glance    // by file
	interrupted map[string]time.Time // the newest interruption of each placement that was carried out
}

// New returns a provider that works under o.Dir.
func New(o Options) (*Provider, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("process provider: %w", err)
	}
	o.Dir = dir
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Provider{o: o, ports: map[int]bool{}, held: map[string]int{}, tenants: map[string]*tenant{}, markets: map[string]glance{}, interrupted: map[string]time.Time{}}, nil
}

// Launch starts one instance. It implements fleet.Provider.
func (p *Provider) Launch(ctx context.Context, s fleet.Spec) (fleet.Handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	place := placeOf(s)
	if err := p.buy(place, s.MarketFile); err != nil {
		return nil, err
	}
	port, err := p.takePort()
	if err != nil {
		p.giveBack(place)
		return nil, err
	}
	h, err := p.start(s, facts{ID: s.ID, Pool: s.Pool, Host: p.o.Host, Port: port})
	if err != nil {
		p.freePort(port)
		p.giveBack(place)
		return nil, err
	}
	go func() {
		<-h.Done()
		p.freePort(port)
	}()
	p.rent(s.ID, place, h, time.Now())
	return h, nil
}

func (p *Provider) start(s fleet.Spec, f facts) (*handle, error) {
	t := s.Template
	path, err := program(t, f)
	if err != nil {
		return nil, err
	}
	args := make([]string, 0, len(t.Command))
	for i, w := range t.Command[1:] {
		a, err := expand(w, f)
		if err != nil {
			return nil, fmt.Errorf("command[%d]: %w", i+1, err)
		}
		args = append(args, a)
	}
	path, args = limited(path, args, t.Limits)
	out, err := openLog(p.LogPath(s.Pool, s.ID))
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own
	addr := net.JoinHostPort(f.Host, strconv.Itoa(f.Port))
	cmd := exec.Command(path, args...)
	cmd.Dir = t.Dir
	cmd.Stdout, cmd.Stderr = out, out
	// A session of its own, and so a group: where one in the same session loses its parent while a member is suspended, the kernel ends it
	// with SIGHUP, and a warm pool must outlive Weir.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(f.Port))
	for k, v := range t.Env {
		v, err := expand(v, f)
		if err != nil {
			return nil, fmt.Errorf("env.%s: %w", k, err)
		}
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Env = append(cmd.Env, markInstance+"="+s.ID, markPool+"="+s.Pool, markState+"="+p.o.Dir, markAddr+"="+addr)
	if place := placeOf(s); place != "" {
		cmd.Env = append(cmd.Env, markPlace+"="+place)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	h := newHandle(p, identity{pid: cmd.Process.Pid, addr: addr}, out.Name(), t.Log)
	// Read before the process can be reaped: a pid alone could be someone else's tomorrow.
	if h.id.start, err = startTime(cmd.Process.Pid); err != nil {
		h.id.start = 0
	}
	go func() {
		err := cmd.Wait()
		h.ended(exitWords(cmd.ProcessState, err))
	}()
	h.watchLog()
	return h, nil
}

// Adopt takes over an instance that an earlier Weir launched. It implements fleet.Provider.
func (p *Provider) Adopt(_ context.Context, id, ref string) (fleet.Handle, error) {
	who, err := parseRef(ref)
	if err != nil {
		return nil, err
	}
	if ref == "" {
		found, err := p.List()
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if f.ID == id {
				who = f.identity
			}
		}
		if who.pid == 0 {
			return nil, fleet.ErrGone
		}
	}
	env, err := environ(who.pid)
	if err != nil || env[markInstance] != id || env[markState] != p.o.Dir {
		return nil, fleet.ErrGone
	}
	if start, err := startTime(who.pid); err != nil || who.start != 0 && start != who.start {
		return nil, fleet.ErrGone // the pid is someone else's now
	}
	h := newHandle(p, who, p.LogPath(env[markPool], id), fleet.Log{})
	wait, err := watchEnd(who.pid)
	if err != nil {
		return nil, fmt.Errorf("watching process %d: %w", who.pid, err)
	}
	// It may have ended, and its pid been given away, between the look and the watch.
	if start, err := startTime(who.pid); err != nil || who.start != 0 && start != who.start {
		return nil, fleet.ErrGone
	}
	if _, port, err := net.SplitHostPort(who.addr); err == nil {
		n, _ := strconv.Atoi(port)
		p.mu.Lock()
		p.ports[n] = true
		p.mu.Unlock()
		go func() {
			<-h.Done()
			p.freePort(n)
		}()
	}
	if place := env[markPlace]; place != "" {
		p.mu.Lock()
		p.held[place]++
		p.mu.Unlock()
		p.rent(id, place, h, time.UnixMilli(who.start))
	}
	go func() {
		wait()
		h.ended("ended (an adopted process: its exit status is not known)")
	}()
	h.watchLog()
	return h, nil
}

// takePort finds a port that nobody listens on and keeps it until freePort. Someone else may take it before the instance
// does: then the instance fails to start and the next one gets another.
func (p *Provider) takePort() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 100 {
		ln, err := net.Listen("tcp", net.JoinHostPort(p.o.Host, "0"))
		if err != nil {
			return 0, fmt.Errorf("finding a free port on %s: %w", p.o.Host, err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		ln.Close()
		if !p.ports[port] {
			p.ports[port] = true
			return port, nil
		}
	}
	return 0, errors.New("finding a free port: every one that the system offers is given away already")
}

func (p *Provider) freePort(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.ports, n)
}

// LogPath is where an instance's output goes.
func (p *Provider) LogPath(pool, id string) string {
	return filepath.Join(p.o.Dir, "logs", filepath.Base(pool), filepath.Base(id)+".log")
}
