package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/load"
	"github.com/weirlb/weir/scale"
)

// narrator tells what happens while it happens.
type narrator struct {
	o     Options
	a     *app.App
	began time.Time

	mu     sync.Mutex
	line   bool // a progress line stands that must be ended before anything else is written
	phase  int
	told   map[string]bool // decisions that were told, by pool and time
	series map[string][]sample
}

// sample is a pool at one second.
type sample struct {
	ready, loading, queue int
	wait                  float64
}

func newNarrator(o Options, a *app.App) *narrator {
	return &narrator{o: o, a: a, phase: -1, series: map[string][]sample{}, told: map[string]bool{}}
}

func (n *narrator) opening(dashboard string) {
	fmt.Fprintf(n.o.Out, `Weir %s: a load balancer and autoscaler for AI applications, in front of a fleet on this machine.

  dashboard   %s
  pools       chat (streams, 4 at a time on each instance), image (1 at a time, from zero), predict
  devices     emulated: each step takes a set time on a device clock, so that a few cores can host a fleet
  load        %v, open loop: requests come when they come, whatever the fleet does

`, n.o.Version, dashboard, n.o.For)
}

// watch sends the load and tells the story until the last answer.
func (n *narrator) watch(ctx context.Context, streams []load.Stream) (*load.Result, error) {
	n.began = time.Now()
	watching, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { n.sample(watching) })
	r, err := load.Run(ctx, load.Options{Title: "weir demo", Streams: streams, Progress: n.progress})
	cancel()
	wg.Wait()
	n.say("")
	return r, err
}

// sample looks at the pools once a second and tells what changed.
func (n *narrator) sample(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		n.decisions()
		n.turn()
		for _, p := range n.a.Status().Pools {
			n.mu.Lock()
			n.series[p.Name] = append(n.series[p.Name], sample{p.Scale.Ready, p.Scale.Loading, p.Queue.Depth, p.Wait.P95})
			n.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// turn announces the phase that has begun.
func (n *narrator) turn() {
	at := time.Since(n.began).Seconds() / n.o.For.Seconds()
	i := 0
	for sum := phases[0].part; i < len(phases)-1 && at >= sum; sum += phases[i].part {
		i++
	}
	if i > n.phase {
		n.phase = i
		n.say("\n%s  %s\n", n.clock(time.Now()), phases[i].say)
	}
}

// decisions tells of each change of capacity once. It looks back some seconds: a decision is recorded a moment after its time.
func (n *narrator) decisions() {
	from := time.Now().Add(-10 * time.Second)
	if from.Before(n.began) {
		from = n.began
	}
	ds, err := n.a.Decisions("", from, time.Time{}, 1000)
	if err != nil {
		return
	}
	slices.Reverse(ds)
	for _, d := range ds {
		id := d.Pool + d.Time.String()
		if d.Desired == d.Previous || n.told[id] {
			continue
		}
		n.told[id] = true
		n.say("%s  %-8s %d → %d   %s\n", n.clock(d.Time), d.Pool, d.Previous, d.Desired, short(d.Why))
	}
}

func (n *narrator) clock(t time.Time) string {
	s := max(int(t.Sub(n.began).Seconds()), 0)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// short keeps a reason to a line; what stands beside it need not be said again.
func short(s string) string {
	if _, rest, ok := strings.Cut(s, ": "); ok {
		s = rest
	}
	if r := []rune(s); len(r) > 150 {
		return string(r[:149]) + "…"
	}
	return s
}

// progress is called by the load once a second.
func (n *narrator) progress(s load.Snapshot) {
	if s.Final {
		return
	}
	var fleet []string
	n.mu.Lock()
	for _, name := range []string{"chat", "image", "predict"} {
		if x := n.series[name]; len(x) > 0 {
			l := x[len(x)-1]
			text := fmt.Sprintf("%s %d", name, l.ready)
			if l.loading > 0 {
				text += fmt.Sprintf("+%d", l.loading)
			}
			if l.queue > 0 {
				text += fmt.Sprintf(" (%d wait)", l.queue)
			}
			fleet = append(fleet, text)
		}
	}
	n.mu.Unlock()
	part := min(s.Elapsed.Seconds()/n.o.For.Seconds(), 1)
	text := fmt.Sprintf("%s %s %5.1f requests/s · answered %d · lost %d · %s", n.clock(time.Now()), bar(part, 20), s.SentRate, s.Done, s.Failed+s.Dropped, strings.Join(fleet, ", "))
	switch {
	case n.o.Terminal:
		n.mu.Lock()
		fmt.Fprintf(n.o.Out, "\r\x1b[K%s", text)
		n.line = true
		n.mu.Unlock()
	case int(s.Elapsed.Seconds())%10 == 0:
		n.say("%s\n", text)
	}
}

func bar(part float64, width int) string {
	full := int(part * float64(width))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// say writes after ending a progress line.
func (n *narrator) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.line {
		fmt.Fprint(n.o.Out, "\r\x1b[K")
		n.line = false
	}
	fmt.Fprintf(n.o.Out, format, args...)
}

// summary says what users saw, and what Weir did.
func (n *narrator) summary(r *load.Result) {
	w := n.o.Out
	status := n.a.Status()
	t := r.Total
	fmt.Fprintf(w, "\n%d requests in %v, %d answered, %d lost.\n\n", t.Sent+t.Dropped, r.Elapsed.Round(time.Second), t.Done, t.Failed+t.Dropped)
	tab := tabwriter.NewWriter(w, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tab, "\trequests\tlost\tlatency p50\tp95\tp99\tfirst token p95\twait p50\tp95\tp99\t")
	for _, k := range r.Kinds {
		first := "–"
		if k.TTFT.Count > 0 {
			first = round(k.TTFT.P95)
		}
		wait, _ := n.a.SinceStart(k.Name)
		fmt.Fprintf(tab, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", k.Name, k.Sent+k.Dropped, k.Failed+k.Dropped,
			round(k.Latency.P50), round(k.Latency.P95), round(k.Latency.P99), first, seconds(wait.P50), seconds(wait.P95), seconds(wait.P99))
	}
	tab.Flush()
	fmt.Fprintln(w, "\nLatency is from the moment a request was due to its last byte; wait is in the queue, for a slot or an instance.")
	fmt.Fprintln(w, "\nInstances ready over time (one mark for each few seconds):")
	for _, p := range status.Pools {
		s := n.series[p.Name]
		most := 0
		for _, x := range s {
			most = max(most, x.ready)
		}
		fmt.Fprintf(w, "  %-8s %s  at most %d\n", p.Name, spark(s, 60), most)
	}
	n.reasons(w)
	for class, count := range r.Total.Errors {
		fmt.Fprintf(w, "LOST: %d × %s\n", count, class)
	}
}

// reasons says what scaled, when and why: the steps up and the steps down of each pool.
func (n *narrator) reasons(w io.Writer) {
	ds, err := n.a.Decisions("", n.began.Add(-time.Minute), time.Time{}, 10000)
	if err != nil {
		return
	}
	ds = slices.DeleteFunc(ds, func(d scale.Decision) bool { return d.Desired == d.Previous })
	slices.SortStableFunc(ds, func(x, y scale.Decision) int {
		return cmp.Or(cmp.Compare(x.Pool, y.Pool), x.Time.Compare(y.Time))
	})
	fmt.Fprintln(w, "\nWhat scaled and why:")
	for _, d := range ds {
		fmt.Fprintf(w, "  %-8s %5s  %d → %d  %s\n", d.Pool, n.clock(d.Time), d.Previous, d.Desired, short(d.Why))
	}
}

// spark draws how many instances were ready.
func spark(s []sample, width int) string {
	if len(s) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range min(width, len(s)) {
		from, to := i*len(s)/min(width, len(s)), (i+1)*len(s)/min(width, len(s))
		most := 0
		for _, x := range s[from:max(to, from+1)] {
			most = max(most, x.ready)
		}
		b.WriteRune([]rune("·▁▂▃▄▅▆▇█")[min(most, 8)])
	}
	return b.String()
}

func seconds(s float64) string { return round(time.Duration(s * float64(time.Second))) }

func round(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
