// Command design takes the case that Weir was designed by (5,000 users at the same time, requests of 10 to 30 s, a spike of a hundred times a usual day, 8,000
// a month) from the question to the answer and back: it has it planned, replays the plan's spike by weir replay, and runs the plan for real on this machine, a
// hundred times smaller and ten times faster, with emulated devices. It prints the three beside each other, draws them, and fails when
// they do not agree.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/planner"
)

// The case, and how much smaller and faster it is run for real.
var question = planner.Question{
	Users: 5000, Low: 10 * time.Second, High: 30 * time.Second, Spike: 100, Budget: 8000, Patience: time.Minute, Seed: 1,
	Types: []planner.Type{{Name: "g4dn.xlarge", OnDemand: 0.526, Spot: 0.158, Slots: 1, Boot: 45 * time.Second}},
}

const (
	smaller = 100.0
	faster  = 10.0
)

func main() {
	weir := flag.String("weir", "bin/weir", "Weir's `binary`, which is also the emulated device")
	out := flag.String("out", "bench/out/design", "`folder` for the configs, the traces and what was measured")
	picture := flag.String("picture", "", "draw the three runs into this `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Stdout, *weir, *out, *picture); err != nil {
		fmt.Fprintln(os.Stderr, "bench/design:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, w io.Writer, weir, out, picture string) error {
	var err error
	if weir, err = filepath.Abs(weir); err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "planning for %.0f users ...\n", question.Users)
	large, err := planner.Solve(ctx, question, nil)
	if err != nil {
		return err
	}
	small, err := large.Scaled(smaller, faster)
	if err != nil {
		return err
	}
	b := &runs{weir: weir, out: out}
	surge, _ := large.Surge()
	if err := b.record(surge); err != nil {
		return err
	}
	planned := planned(large)
	fmt.Fprintln(os.Stderr, "replaying the plan's spike ...")
	replayed, err := b.replay(ctx, "large", large, large.Facts.Type.Boot)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "running it for real with %.0f users, which takes %v ...\n", small.Question.Users, (span(large) / faster).Round(time.Second))
	real, boot, err := b.real(ctx, small)
	if err != nil {
		return err
	}
	again, err := b.replay(ctx, "small", small, boot)
	if err != nil {
		return err
	}
	all := []*outcome{planned, replayed, again, real}
	write(w, large, small, boot, all)
	if picture != "" {
		if err := os.WriteFile(picture, []byte(draw(large, all)), 0o644); err != nil {
			return err
		}
	}
	return agree(all)
}

func span(a *planner.Answer) time.Duration {
	_, span := a.Surge()
	return span
}

// outcome is what one of the runs came to. Times are in mean requests and instances by users, so that runs of different size compare.
type outcome struct {
	name     string
	requests int
	served   float64 // part of the requests
	wait     float64 // p95, of those served
	peak     float64 // most instances
	used     float64 // time of instances for a request that was served
	curve    []point
}

// point is how many instances there were, by users.
type point struct {
	at        float64 // part of the run
	instances float64
}

func write(w io.Writer, large, small *planner.Answer, boot time.Duration, all []*outcome) {
	p := &large.Best
	fmt.Fprintf(w, "The plan: %d + %d %% on demand, %d to %d instances, %.0f a month of usual days and %.0f of spikes.\n", p.OnDemandBase, p.OnDemandPercent, p.Min, p.Max, p.Monthly, p.Spikes)
	fmt.Fprintf(w, "Its spike: from %.3g to %.4g requests a second within two minutes, for twenty minutes. For real, with %.0f users, ten times as fast: boots of %v.\n\n",
		(large.Facts.Rate+large.Facts.NightRate)/2, large.Question.Users/large.Facts.Mean.Seconds(), small.Question.Users, boot.Round(10*time.Millisecond))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\trequests\tserved\twait p95, in requests\tmost instances, by users\ttime of instances a request, in requests\t")
	for _, o := range all {
		fmt.Fprintf(t, "%s\t%d\t%.1f %%\t%.2f\t%.1f %%\t%.2f\t\n", o.name, o.requests, 100*o.served, o.wait, 100*o.peak, o.used)
	}
	t.Flush()
}

// bound is how far apart two figures may be.
type bound struct {
	what       string
	of         func(*outcome) float64
	exact      float64 // planned and replayed, which are the same simulator: what differs is how the run begins
	real       float64 // simulated and real: chance, and how long this machine takes to start 43 processes at a time
	size       float64 // 5,000 users simulated and 50 real: also that the fewer there are the more chance does, and that Weir decides each second at any pace
	fractional bool    // of the larger of the two, and not absolute
}

var bounds = []bound{
	{"served", func(o *outcome) float64 { return o.served }, 0.02, 0.05, 0.1, false},
	{"wait p95", func(o *outcome) float64 { return o.wait }, 0.05, 0.1, 0.15, true},
	{"most instances", func(o *outcome) float64 { return o.peak }, 0.05, 0.05, 0.1, true},
	{"time of instances", func(o *outcome) float64 { return o.used }, 0.05, 0.1, 0.3, true},
}

// agree compares the plan with its replay, the small replay with the real run, and the two sizes with each other.
func agree(all []*outcome) (err error) {
	for _, b := range bounds {
		for _, pair := range [][2]int{{0, 1}, {2, 3}, {1, 3}} {
			x, y, may := all[pair[0]], all[pair[1]], [...]float64{b.exact, b.size, b.real}[pair[0]]
			off := math.Abs(b.of(x) - b.of(y))
			if b.fractional {
				off /= max(b.of(x), b.of(y))
			}
			if off > may {
				err = errors.Join(err, fmt.Errorf("%s: %.3g (%s) and %.3g (%s) are more than %.0f %% apart", b.what, b.of(x), x.name, b.of(y), y.name, 100*may))
			}
		}
	}
	return err
}
