package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/listen/handover"
	"github.com/weirlb/weir/pool"
)

// memo is what a process leaves to the one that replaces it, beside its sockets. It is secret: it holds keys.
type memo struct {
	Generation int                                 `json:"generation"` // 0: the first process
	Tickets    map[string][][32]byte               `json:"tickets,omitempty"`
	Overrides  map[string]map[string]pool.Override `json:"overrides,omitempty"` // by pool and target

	farewell *farewell // of this process, while it may leave
}

func readMemo(b []byte) (m memo, err error) {
	if len(b) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("reading what the running Weir leaves: %w; restart Weir instead of upgrading it", err)
	}
	return m, nil
}

// restore sets again what operators had set.
func (m memo) restore(pools map[string]*livePool) {
	for name, targets := range m.Overrides {
		lp := pools[name]
		if lp == nil {
			continue
		}
		for id, o := range targets {
			lp.pool.Override(id, o, time.Now())
		}
	}
}

// next is the memo for the next process. The lock is held.
func (a *App) next() memo {
	m := memo{Generation: a.memo.Generation + 1, Tickets: map[string][][32]byte{}, Overrides: map[string]map[string]pool.Override{}}
	for address, l := range a.listeners {
		if l.certs != nil {
			m.Tickets[address] = l.certs.Tickets()
		}
	}
	for name, lp := range a.pools {
		if o := lp.pool.Overrides(); len(o) > 0 {
			m.Overrides[name] = o
		}
	}
	return m
}

// Replaced is closed when another process has taken over. Shut down then: what is in flight finishes here.
func (a *App) Replaced() <-chan struct{} { return a.replaced }

func (a *App) isReplaced() bool {
	select {
	case <-a.replaced:
		return true
	default:
		return false
	}
}

// Upgrade starts a new process of Weir, of the program that binary names or else of the file that this one was started from, and hands over
// to it: no connection is refused, instances stay. When it returns no error, Replaced is closed. On an error this process goes on as before.
// It implements admin.Keeper.
func (a *App) Upgrade(binary string) (admin.Upgrade, error) {
	if a.o.Config == "" {
		return admin.Upgrade{}, errors.New("this Weir was not started from a file, so no other process could take over; restart it")
	}
	<-a.up
	if !a.changing.TryLock() {
		return admin.Upgrade{}, errors.New("a reload or an upgrade is under way; try again when it is done")
	}
	defer a.changing.Unlock()
	if a.isReplaced() {
		return admin.Upgrade{}, errors.New("another process has taken over already; this one only finishes what is in flight")
	}
	if binary != "" {
		path, err := exec.LookPath(binary)
		if err != nil {
			return admin.Upgrade{}, fmt.Errorf("upgrade: %w; write the path of a Weir", err)
		}
		binary = path
	} else if path, err := os.Executable(); err == nil {
		binary = path
	}
	a.mu.Lock()
	left, err := json.Marshal(a.next())
	sockets := a.sockets()
	a.mu.Unlock()
	if err != nil {
		return admin.Upgrade{}, fmt.Errorf("upgrade: %w", err)
	}
	a.log.Info("upgrade: starting a new process", "binary", binary)
	p, err := handover.Start(a.ctx, handover.Options{Exe: binary, Sockets: sockets, Memo: left, Release: a.release, Reclaim: a.reclaim})
	if err != nil {
		if f := a.memo.farewell; f != nil {
			f.end()
			a.memo.farewell = nil
		}
		a.log.Error("upgrade: nothing was changed", "error", err)
		return admin.Upgrade{}, err
	}
	deadline := time.Now().Add(a.o.Deadline)
	a.mu.Lock()
	a.memo.farewell.leave(deadline)
	a.mu.Unlock()
	u := admin.Upgrade{
		PID: p.Pid, Generation: a.memo.Generation + 1,
		Leaving: admin.Leaving{PID: os.Getpid(), Connections: a.engine.Active(), InFlight: a.busy(), Deadline: deadline},
	}
	a.log.Info("upgrade: the new process has taken over; this one finishes what is in flight",
		"new", u.PID, "connections", u.Leaving.Connections, "in_flight", u.Leaving.InFlight, "until", deadline)
	close(a.replaced)
	return u, nil
}

// sockets are all that the next process is given. The lock is held.
func (a *App) sockets() []handover.Socket {
	var out []handover.Socket
	add := func(address string, ln net.Listener) {
		if c, ok := ln.(syscall.Conn); ok {
			out = append(out, handover.Socket{Address: address, Conn: c})
		}
	}
	for address, l := range a.listeners {
		for _, ln := range l.sockets {
			add(address, ln)
		}
	}
	add(a.cfg.Admin.Address, a.web.ln)
	return out
}

// busy is how many requests are in flight on all targets.
func (a *App) busy() (n int) {
	for _, v := range a.word().InFlight {
		n += v
	}
	return n
}

// word is what this process says of itself while it may leave.
func (a *App) word() leaver {
	v := leaver{Connections: a.engine.Active(), InFlight: map[string]int{}}
	for _, lp := range a.snapshot() {
		lp.inFlight(v.InFlight)
	}
	return v
}

// release lets go of the state for the next process: scaling ends, instances and traffic go on.
func (a *App) release() error {
	f, err := beginFarewell(a.leaving, a.log, a.word)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.memo.farewell = f
	t := a.tenure
	a.mu.Unlock()
	for _, lp := range a.snapshot() {
		if s := lp.scaled.Load(); s != nil {
			s.stop()
		}
	}
	return t.end()
}

// reclaim takes the state again, as the next process has failed.
func (a *App) reclaim() error {
	dir, err := stateDir(a.cfg.State)
	if err != nil {
		return err
	}
	t, err := openState(a.ctx, dir, a.cfg.Metrics, a.log)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.tenure = t
	a.mu.Unlock()
	for _, lp := range a.sorted() {
		if !lp.scales() {
			continue
		}
		s, err := a.newScaling(t, lp, lp.config())
		if err != nil {
			return err
		}
		lp.scaled.Store(s)
		lp.forget(s.fleet)
		s.run()
	}
	a.record(t)
	a.charge(t)
	a.sound(t, a.cfg)
	return a.bringHome(t)
}

// notify tells systemd, if there is one.
func notify(state string) { _ = handover.Notify(state) }
