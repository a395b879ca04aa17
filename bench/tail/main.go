package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := bench(ctx, os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench/tail: interrupted; everything it started has been stopped")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "bench/tail:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	requests int
	loads    []float64
	mixes    []string
	cases    []string
	only     []string // programs
	speed    float64
	seed     uint64
	traces   string // folder
	weir     string // path of the binary; built when empty
	json     string
	markdown string
}

func parse(args []string) (options, error) {
	var o options
	var loads, mixes, cases, only string
	f := flag.NewFlagSet("bench/tail", flag.ContinueOnError)
	f.IntVar(&o.requests, "requests", 586, "requests under each load; all candidates get the same")
	f.StringVar(&loads, "loads", "0.5,0.7,0.8,0.9,0.95", "loads, as shares of what the targets can do")
	f.StringVar(&mixes, "mixes", "two,trace,known", "service times: two (half 50 ms, half 2 s), trace (recorded image requests), known (the same, and requests say how long they take; for -cases shortest)")
	f.StringVar(&cases, "cases", strings.Join(caseNames, ","), "equal targets, unequal ones (speeds 1:2:4), targets that come and go (churn), the shortest first")
	f.StringVar(&only, "only", strings.Join([]string{direct, weir, nginx, haproxy}, ","), "programs to measure; direct is a queue in the load generator")
	f.Float64Var(&o.speed, "speed", 1, "run so many times faster, all times divided; above 1 the overhead of sockets and timers weighs more")
	f.Uint64Var(&o.seed, "seed", 1, "of arrivals and service times")
	f.StringVar(&o.traces, "traces", "../shared/traces", "`folder` with "+traceName+"; without it a log-normal fit stands in")
	f.StringVar(&o.weir, "weir", "", "Weir's `binary` (default: built from ./cmd/weir)")
	f.StringVar(&o.json, "json", "", "write everything measured to this `file`")
	f.StringVar(&o.markdown, "markdown", "", "write the tables to this `file`")
	if err := f.Parse(args); err != nil {
		return o, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	for item := range strings.SplitSeq(loads, ",") {
		load, err := strconv.ParseFloat(strings.TrimSpace(item), 64)
		if err != nil || !(load > 0 && load < 1) {
			return o, fmt.Errorf("-loads: %q is not a number between 0 and 1", item)
		}
		o.loads = append(o.loads, load)
	}
	var errs [3]error
	o.mixes, errs[0] = choose("-mixes", mixes, []string{"two", "trace", "known"})
	o.cases, errs[1] = choose("-cases", cases, caseNames)
	o.only, errs[2] = choose("-only", only, []string{direct, weir, nginx, haproxy})
	if err := errors.Join(errs[:]...); err != nil {
		return o, err
	}
	switch {
	case o.requests < 2 || o.requests > 100_000:
		return o, errors.New("-requests: give a number from 2 to 100000")
	case !(o.speed >= 0.1 && o.speed <= 100):
		return o, errors.New("-speed: give a number from 0.1 to 100")
	}
	return o, nil
}

// choose splits a list of names and refuses those that are unknown or repeated.
func choose(name, list string, known []string) ([]string, error) {
	var chosen []string
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if !slices.Contains(known, item) {
			return nil, fmt.Errorf("%s: %q is not one of %s", name, item, strings.Join(known, ", "))
		}
		if slices.Contains(chosen, item) {
			return nil, fmt.Errorf("%s: %q is named twice", name, item)
		}
		chosen = append(chosen, item)
	}
	return chosen, nil
}
