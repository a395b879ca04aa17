package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/weirlb/weir/fleet"
)

// identity tells one process from all others that ever had its pid.
type identity struct {
	pid   int
	start int64 // milliseconds since the epoch; 0 when unknown
	addr  string
}

func (i identity) ref() string { return fmt.Sprintf("pid=%d start=%d addr=%s", i.pid, i.start, i.addr) }

func parseRef(ref string) (i identity, err error) {
	if ref == "" {
		return i, nil
	}
	if _, err := fmt.Sscanf(ref, "pid=%d start=%d addr=%s", &i.pid, &i.start, &i.addr); err != nil || i.pid <= 0 {
		return i, fmt.Errorf("%q is not a reference of the process provider", ref)
	}
	return i, nil
}

// startTime is when a process began, in milliseconds since the epoch; an error when there is none of that pid.
func startTime(pid int) (int64, error) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return 0, err
	}
	if st, err := p.Status(); err == nil && len(st) > 0 && st[0] == process.Zombie {
		return 0, errors.New("the process has ended")
	}
	return p.CreateTime()
}

// handle is the hold on one process.
type handle struct {
	p    *Provider
	id   identity
	log  string
	keep fleet.Log
	done chan struct{}
	exit string // valid once done is closed

	stopping atomic.Bool
	mu       sync.Mutex
	usage    map[int32]float64 // processor seconds of each process of the group, at the last look
	looked   time.Time
}

func newHandle(p *Provider, id identity, log string, keep fleet.Log) *handle {
	return &handle{p: p, id: id, log: log, keep: keep, done: make(chan struct{})}
}

func (h *handle) Ref() string           { return h.id.ref() }
func (h *handle) Addr() string          { return h.id.addr }
func (h *handle) Done() <-chan struct{} { return h.done }
func (h *handle) Exit() string          { return h.exit }

// ended is called once, when the process is gone. What it left running in its group ends with it.
func (h *handle) ended(how string) {
	syscall.Kill(-h.id.pid, syscall.SIGKILL)
	h.exit = how
	close(h.done)
}

// Stop asks the process group to end, and makes it after grace.
func (h *handle) Stop(grace time.Duration) {
	if h.stopping.Swap(true) {
		return
	}
	h.signal(syscall.SIGTERM)
	h.signal(syscall.SIGCONT) // one that is suspended learns of its end only when it goes on
	go func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-h.done:
		case <-t.C:
			h.p.o.Log.Warn("an instance did not end in time and is killed", "pid", h.id.pid, "after", grace)
			h.signal(syscall.SIGKILL)
		}
	}()
}

// Suspend holds the process group still; its memory stays. It implements fleet.Suspender.
func (h *handle) Suspend() error { return h.running(syscall.SIGSTOP) }

// Resume lets the process group go on. It implements fleet.Suspender.
func (h *handle) Resume() error { return h.running(syscall.SIGCONT) }

// running sends a signal that only a process that has not ended can take.
func (h *handle) running(s syscall.Signal) error {
	h.signal(s)
	select {
	case <-h.done:
		return fmt.Errorf("process %d has ended", h.id.pid)
	default:
		return nil
	}
}

// signal reaches the whole group. The process is checked first: its pid may be someone else's by now.
func (h *handle) signal(s syscall.Signal) {
	select {
	case <-h.done:
		return
	default:
	}
	if h.id.start != 0 {
		if start, err := startTime(h.id.pid); err != nil || start != h.id.start {
			return
		}
	}
	if err := syscall.Kill(-h.id.pid, s); err != nil {
		syscall.Kill(h.id.pid, s)
	}
}

// Usage sums up the process and its children.
func (h *handle) Usage() (fleet.Usage, error) {
	root, err := process.NewProcess(int32(h.id.pid))
	if err != nil {
		return fleet.Usage{}, fmt.Errorf("reading process %d: %w", h.id.pid, err)
	}
	all := []*process.Process{root}
	if kids, err := root.Children(); err == nil {
		all = append(all, kids...)
	}
	now := time.Now()
	var u fleet.Usage
	var spent float64
	seconds := map[int32]float64{}
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, p := range all {
		t, err := p.Times()
		if err != nil {
			if i == 0 {
				return u, fmt.Errorf("reading process %d: %w", h.id.pid, err)
			}
			continue // a child that has just ended
		}
		s := t.User + t.System
		seconds[p.Pid] = s
		spent += s - h.usage[p.Pid]
		if m, err := p.MemoryInfo(); err == nil {
			u.Memory += m.RSS
		}
	}
	first := h.looked.IsZero()
	if d := now.Sub(h.looked).Seconds(); !first && d > 0 {
		u.CPU = max(spent, 0) / d * 100
	}
	h.usage, h.looked = seconds, now
	if first {
		return u, errors.New("processor use is known from the second look on")
	}
	return u, nil
}

// exitWords says how a child ended.
func exitWords(st *os.ProcessState, err error) string {
	if st == nil {
		return fmt.Sprintf("its end could not be observed: %v", err)
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		if ws.Signal() == syscall.SIGKILL {
			return "killed by SIGKILL (by the kernel for want of memory, or by someone)"
		}
		return "ended by signal " + ws.Signal().String()
	}
	return fmt.Sprintf("exit status %d", st.ExitCode())
}
