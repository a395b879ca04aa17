package main

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// tiny is a target that does little and says on standard output which POSTs it was given, so that a test knows
// also what a target was given that is dead by then. It ends when its standard input does: with the test, however that ends.
func tiny(addr string) int {
	m := http.NewServeMux()
	m.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	m.HandleFunc("GET /get/{id}", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(tinyService)
		io.WriteString(w, r.PathValue("id"))
	})
	m.HandleFunc("POST /post/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("begin", r.PathValue("id"))
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		time.Sleep(tinyService)
		io.WriteString(w, receipt(r.PathValue("id"), body))
	})
	m.HandleFunc("GET /events/{id}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			fmt.Fprintf(w, "data: %s %d\n\n", r.PathValue("id"), i)
			http.NewResponseController(w).Flush()
			time.Sleep(tinyService)
		}
		io.WriteString(w, "data: [DONE]\n\n")
	})
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Target", addr)
		m.ServeHTTP(w, r)
	})
	go http.Serve(ln, named)
	io.Copy(io.Discard, os.Stdin)
	return 0
}

// tinyService is how long a tiny target thinks about a request or an event.
const tinyService = 5 * time.Millisecond

// receipt is what a POST is answered with: proof that the right body came whole.
func receipt(id string, body []byte) string {
	return fmt.Sprintf("%s %08x", id, crc32.ChecksumIEEE(body))
}

// process is a target that is a process of its own, which can be killed, stopped and started again at the same address.
type process struct {
	t     *testing.T
	addr  string
	env   string
	args  []string
	cmd   *exec.Cmd
	leash io.Closer // its standard input

	mu    sync.Mutex
	begun map[string]int // POSTs, and how often
	rest  []byte         // of a line
}

// death is a process's end by kill -9.
type death struct {
	from, to time.Time // the signal was sent, all its sockets were closed
	lost     int       // requests that were under way there
}

func newTiny(t *testing.T) *process {
	addr := steadyAddr(t)
	return newProcess(t, addr, "WEIR_TINY="+addr)
}

func newInfer(t *testing.T) *process {
	addr := steadyAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	return newProcess(t, addr, "WEIR_MAIN=1", "infer", "--port", port, "--model", "chat", "--device", "emulated", "--token-time", "2ms", "--slots", "16")
}

func newProcess(t *testing.T, addr, env string, args ...string) *process {
	t.Helper()
	p := &process{t: t, addr: addr, env: env, args: args, begun: map[string]int{}}
	p.start()
	t.Cleanup(func() { p.kill() })
	return p
}

// fleetOf makes n targets.
func fleetOf(t *testing.T, n int, one func(*testing.T) *process) (ps []*process, addrs string) {
	t.Helper()
	var quoted []string
	for range n {
		p := one(t)
		ps = append(ps, p)
		quoted = append(quoted, strconv.Quote(p.addr))
	}
	return ps, strings.Join(quoted, ", ")
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), p.env)
	p.cmd.Stdout = p
	var err error
	if p.leash, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process at once and returns when nothing of it is left.
func (p *process) kill() *death {
	d := &death{from: time.Now()}
	p.cmd.Process.Kill()
	p.cmd.Wait() // and until all that it said was read
	d.to = time.Now()
	p.leash.Close()
	return d
}

// stop stalls the process: its sockets stay open, and the kernel even accepts new connections.
func (p *process) stop() { p.cmd.Process.Signal(syscall.SIGSTOP) }

// resume lets a stalled process go on.
func (p *process) resume() { p.cmd.Process.Signal(syscall.SIGCONT) }

// Write reads what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		p.rest = rest
		if id, ok := strings.CutPrefix(string(line), "begin "); ok {
			p.begun[id]++
		}
	}
}

// steadyAddr finds an address that is free and stays so while nobody listens: its port is not among those that the system hands out.
func steadyAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			ln.Close()
			return addr
		}
	}
	t.Fatal("no free port below those that the system hands out")
	return ""
}

// The ways in which a rogue misbehaves.
const (
	behave    int32 = iota
	resetAll        // connections are accepted and reset
	closeAll        // requests are read and never answered: the connection closes
	halfHead        // the same, after half a head
	garbage         // what comes is no HTTP
	drip            // answers come byte by byte
	shortBody       // the answer ends before its length
	early           // POSTs are refused, and the connection closes, before their body was read
)

// rogue is a target that can be told to misbehave.
type rogue struct {
	addr string
	mode atomic.Int32

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newRogue(t *testing.T) *rogue {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{addr: ln.Addr().String(), conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[c] = true
			r.mu.Unlock()
			all.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		r.drop()
		all.Wait()
	})
	return r
}

// turn changes how it behaves, for connections that are open already too.
func (r *rogue) turn(mode int32) {
	r.mode.Store(mode)
	if mode == resetAll {
		r.drop()
	}
}

func (r *rogue) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func (r *rogue) serve(c net.Conn) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, c)
		c.Close()
	}()
	for in := bufio.NewReader(c); ; {
		if r.mode.Load() == resetAll {
			c.(*net.TCPConn).SetLinger(0)
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.mode.Load() == early && req.Method == "POST" {
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		id := req.URL.Path[strings.LastIndexByte(req.URL.Path, '/')+1:]
		if req.Method == "POST" {
			id = receipt(id, body)
		}
		if !r.answer(c, id) {
			return
		}
	}
}

// answer answers in the way it was told to. False: the connection is to be closed.
func (r *rogue) answer(c net.Conn, text string) bool {
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Target: %s\r\nContent-Length: %d\r\n\r\n%s", r.addr, len(text), text)
	switch r.mode.Load() {
	case behave, early:
		io.WriteString(c, whole)
		return true
	case resetAll:
		c.(*net.TCPConn).SetLinger(0)
	case halfHead:
		io.WriteString(c, whole[:30])
	case garbage:
		io.WriteString(c, "\x16\x03\x01 no HTTP at all\r\n\r\n")
	case shortBody:
		io.WriteString(c, whole[:len(whole)-1])
	case drip:
		for i := range len(whole) {
			if _, err := io.WriteString(c, whole[i:i+1]); err != nil {
				return false
			}
			time.Sleep(2 * tinyService)
		}
		return true
	}
	return false
}
