package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/load"
)

// sample is the pool at one moment of the run.
type sample struct {
	At       time.Duration `json:"at_ns"` // from the first request
	Ready    int           `json:"ready"`
	Loading  int           `json:"loading"`
	Draining int           `json:"draining"`
	Waiting  int           `json:"waiting"`
	InFlight int           `json:"in_flight"`
}

const sampleEvery = 250 * time.Millisecond

// watcher looks at the pool while it is under load, and tells of it.
type watcher struct {
	s        *server
	p        *plan
	out      io.Writer
	terminal bool // out is one: the progress line renews itself
	began    time.Time

	mu      sync.Mutex // guards what follows
	samples []sample
	told    time.Time // of the newest decision told
	cold    histogram // of the waits until the end of the cold start
	line    bool      // a progress line stands
}

// isTerminal says whether f shows what is written to a person.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// watch takes samples until ctx ends, and calls died when Weir is no longer there.
func (w *watcher) watch(ctx context.Context, died func()) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		w.look(ctx)
		if i%4 == 0 {
			w.tell(ctx)
			w.keepCold(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-w.s.ended:
			died()
			return
		case <-tick.C:
		}
	}
}

// look takes a sample; a look that fails is left out, since the next one comes soon.
func (w *watcher) look(ctx context.Context) (sample, bool) {
	st, err := w.s.status(ctx)
	if err != nil || len(st.Pools) != 1 {
		return sample{}, false
	}
	x := sampleOf(st.Pools[0], time.Since(w.began))
	w.mu.Lock()
	w.samples = append(w.samples, x)
	w.mu.Unlock()
	return x, true
}

func sampleOf(p admin.Pool, at time.Duration) sample {
	x := sample{At: at, Waiting: p.Queue.Depth, InFlight: p.InFlight}
	if p.Scale != nil {
		x.Ready, x.Loading = p.Scale.Ready, p.Scale.Loading
	}
	for _, in := range p.Instances {
		if in.State == "draining" {
			x.Draining++
		}
	}
	return x
}

// tell prints the decisions that are new.
func (w *watcher) tell(ctx context.Context) {
	ds, err := w.s.decisions(ctx)
	if err != nil {
		return // they all stand in the report once more
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range ds {
		if d.Time.After(w.told) {
			w.told = d.Time
			w.print("%s  %d → %d  %s\n", clock(d.Time.Sub(w.began)), d.Previous, d.Desired, short(d.Why, 140))
		}
	}
}

// keepCold keeps the waits so far until the cold start is over.
func (w *watcher) keepCold(ctx context.Context) {
	if time.Since(w.began) > w.p.replayed(coldStart) {
		return
	}
	if h, err := w.s.waits(ctx); err == nil {
		w.mu.Lock()
		w.cold = h
		w.mu.Unlock()
	}
}

// progress is called by the load once a second.
func (w *watcher) progress(s load.Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Final {
		w.print("")
		return
	}
	var x sample
	if n := len(w.samples); n > 0 {
		x = w.samples[n-1]
	}
	loading := ""
	if x.Loading > 0 {
		loading = fmt.Sprintf("+%d loading", x.Loading)
	}
	text := fmt.Sprintf("%s of %s  %d of %d sent, %d answered, %d lost · instances %d%s · %d waiting, %d in flight",
		clock(s.Elapsed), clock(w.p.length()), s.Sent, len(w.p.arrivals), s.Done, s.Failed+s.Dropped+s.Aborted, x.Ready, loading, x.Waiting, x.InFlight)
	switch {
	case w.terminal:
		fmt.Fprintf(w.out, "\r\x1b[K%s", text)
		w.line = true
	case int(s.Elapsed.Seconds())%10 == 0:
		fmt.Fprintln(w.out, text)
	}
}

// print writes after ending a progress line. The caller holds mu.
func (w *watcher) print(format string, args ...any) {
	if w.line {
		fmt.Fprint(w.out, "\r\x1b[K")
		w.line = false
	}
	fmt.Fprintf(w.out, format, args...)
}

// awaitZero waits until the pool has no instance left, for at most patience, and says after how long that was.
func (w *watcher) awaitZero(ctx context.Context, patience time.Duration) (time.Duration, bool) {
	began := time.Now()
	for time.Since(began) < patience {
		w.mu.Lock()
		n := len(w.samples)
		empty := n > 0 && w.samples[n-1].Ready+w.samples[n-1].Loading+w.samples[n-1].Draining == 0
		w.mu.Unlock()
		if empty {
			return time.Since(began), true
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-w.s.ended:
			return 0, false
		case <-time.After(sampleEvery):
		}
	}
	return 0, false
}

// taken are the samples so far, and the waits of the cold start.
func (w *watcher) taken() ([]sample, histogram) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.samples), w.cold
}

// inOrder sorts decisions, oldest first.
func inOrder(ds []decision) []decision {
	slices.SortStableFunc(ds, func(a, b decision) int { return a.Time.Compare(b.Time) })
	return ds
}
