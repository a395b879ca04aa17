package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirlb/weir/admin"
)

// A process that was replaced by a new one finishes what it has in flight. Meanwhile it writes down how far it is, in the state directory:
// the new one shows that, and ends no instance that the old one still uses.

// leaver is what a process that leaves says of itself.
type leaver struct {
	PID         int            `json:"pid"`
	Time        time.Time      `json:"time"`              // of writing
	Deadline    time.Time      `json:"deadline,omitzero"` // when what is left is cut; zero while it does not leave yet
	Connections int            `json:"connections"`
	InFlight    map[string]int `json:"in_flight"` // by the target's ID, those without left out
}

const (
	leaverEvery = 250 * time.Millisecond // between two words of a leaver
	leaverStale = 5 * time.Second        // after which one that is silent is taken for dead
	lookEvery   = 100 * time.Millisecond // between two looks at what leavers say
)

// leavers looks at the processes that this one has replaced, directly or not, and that are not done.
type leavers struct {
	dir string

	mu     sync.Mutex
	looked time.Time
	found  []leaver
}

func newLeavers(state string) *leavers { return &leavers{dir: filepath.Join(state, "leaving")} }

// all returns what the leavers said last.
func (l *leavers) all() []leaver {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.looked) < lookEvery {
		return l.found
	}
	l.looked, l.found = now, nil
	files, err := filepath.Glob(filepath.Join(l.dir, "*.json"))
	if err != nil {
		return nil
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has just left
		}
		var v leaver
		if json.Unmarshal(b, &v) != nil || v.PID == os.Getpid() {
			continue
		}
		if now.Sub(v.Time) > leaverStale {
			os.Remove(file) // it was killed
			continue
		}
		l.found = append(l.found, v)
	}
	return l.found
}

// inFlight is how many requests they have on a target.
func (l *leavers) inFlight(id string) (n int) {
	for _, v := range l.all() {
		n += v.InFlight[id]
	}
	return n
}

// status is them for people.
func (l *leavers) status() []admin.Leaving {
	var out []admin.Leaving
	for _, v := range l.all() {
		n := 0
		for c := range maps.Values(v.InFlight) {
			n += c
		}
		out = append(out, admin.Leaving{PID: v.PID, Connections: v.Connections, InFlight: n, Deadline: v.Deadline})
	}
	slices.SortFunc(out, func(a, b admin.Leaving) int { return a.PID - b.PID })
	return out
}

// farewell is this process's own word, while it may leave.
type farewell struct {
	file   string
	say    func() leaver
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	deadline atomic.Pointer[time.Time]
}

// beginFarewell writes what say says at once and then every while, until end.
func beginFarewell(l *leavers, log *slog.Logger, say func() leaver) (*farewell, error) {
	if err := os.MkdirAll(l.dir, 0o750); err != nil {
		return nil, err
	}
	f := &farewell{file: filepath.Join(l.dir, strconv.Itoa(os.Getpid())+".json"), say: say, log: log, done: make(chan struct{})}
	if err := f.write(); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(f.done)
		t := time.NewTicker(leaverEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if err := f.write(); err != nil {
				f.log.Warn("the new process cannot be told what this one still has in flight", "error", err)
			}
		}
	}()
	return f, nil
}

// write replaces the file as a whole.
func (f *farewell) write() error {
	v := f.say()
	v.PID, v.Time = os.Getpid(), time.Now()
	if d := f.deadline.Load(); d != nil {
		v.Deadline = *d
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(f.file+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(f.file+".new", f.file)
}

// leave says from when on what is left is cut.
func (f *farewell) leave(deadline time.Time) { f.deadline.Store(&deadline) }

// end takes the word back: this process is done, or stays.
func (f *farewell) end() {
	f.cancel()
	<-f.done
	os.Remove(f.file)
}
