package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/bench/internal/child"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 {
		if tool := tools[args[0]]; tool != nil {
			exit(tool(args[1:]))
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	exit(drive(ctx, args))
}

func exit(err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench/proxy: interrupted; everything it started has been stopped")
		os.Exit(130)
	}
	fmt.Fprintln(os.Stderr, "bench/proxy:", err)
	os.Exit(1)
}

// settings are the command line.
type settings struct {
	only      []string // candidates, in the order of the columns
	scenarios []string
	rounds    int
	warmUp    time.Duration
	count     time.Duration
	streams   int
	held      int
	limits    limits
	tries     int
	keepNoisy bool
	proxyCore int
	loadCore  int
	// secondCore is what the scenario cores gives to the proxy beside proxyCore.
	secondCore int
	engine     string
	weir       string // path of the binary; built when empty
	json       string
	markdown   string
}

func parse(args []string) (settings, error) {
	var s settings
	var only, scenarios string
	var steal, foreign, loadForeign float64
	f := flag.NewFlagSet("bench/proxy", flag.ContinueOnError)
	f.StringVar(&only, "only", strings.Join(installed(), ","), "candidates to measure")
	f.StringVar(&scenarios, "scenarios", strings.Join(scenarioNames(), ","), "scenarios to measure")
	f.IntVar(&s.rounds, "rounds", 5, "rounds, each measuring every candidate once per scenario; fewer than 5 is a quick look")
	f.DurationVar(&s.count, "for", 3*time.Second, "how long one measurement counts")
	f.DurationVar(&s.warmUp, "warm-up", time.Second, "load before it counts, and how long held requests rest before memory is read")
	f.IntVar(&s.streams, "streams", 1000, "SSE streams, 20 events per second each")
	f.IntVar(&s.held, "held", 2000, "requests held open for the memory measurement")
	f.Float64Var(&steal, "max-steal", 3, "refuse a measurement when the hypervisor took more than this `percent` of the two cores")
	f.Float64Var(&foreign, "max-foreign", 5, "refuse a measurement when others took more than this `percent` of the proxy's core")
	f.Float64Var(&loadForeign, "max-load-foreign", 20, "the same for the core of load and target")
	f.IntVar(&s.tries, "tries", 5, "how often a refused measurement is tried in all")
	f.BoolVar(&s.keepNoisy, "keep-noisy", false, "keep measurements refused for noise, and list them; never those with failed requests")
	f.IntVar(&s.proxyCore, "proxy-core", 0, "core of the measured proxy")
	f.IntVar(&s.loadCore, "load-core", 1, "core of load and target")
	f.IntVar(&s.secondCore, "second-core", -1, "what the scenario cores gives to the proxy beside -proxy-core (default: the load's core)")
	f.StringVar(&s.engine, "engine", "", "Weir's `engine` for plain HTTP/1.1: auto, loop or goroutine (default: what Weir chooses)")
	f.StringVar(&s.weir, "weir", "", "Weir's `binary` (default: built from ./cmd/weir)")
	f.StringVar(&s.json, "json", "", "write everything measured to this `file`")
	f.StringVar(&s.markdown, "markdown", "", "write the tables to this `file`")
	if err := f.Parse(args); err != nil {
		return s, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	s.limits = limits{steal: steal / 100, foreign: foreign / 100, loadForeign: loadForeign / 100}
	var err error
	if s.only, err = choose("-only", only, candidateNames()); err != nil {
		return s, err
	}
	if s.scenarios, err = choose("-scenarios", scenarios, scenarioNames()); err != nil {
		return s, err
	}
	if s.secondCore == -1 {
		s.secondCore = s.loadCore
	}
	switch {
	case s.secondCore == s.proxyCore:
		return s, fmt.Errorf("-proxy-core and -second-core are both %d", s.proxyCore)
	case s.rounds < 1 || s.tries < 1 || s.streams < 1 || s.held < 1:
		return s, errors.New("-rounds, -tries, -streams and -held must be at least 1")
	case s.count <= 0 || s.warmUp < 0:
		return s, errors.New("-for must be more than 0, -warm-up at least 0")
	case s.proxyCore == s.loadCore:
		return s, fmt.Errorf("-proxy-core and -load-core are both %d: the proxy needs a core to itself", s.proxyCore)
	}
	return s, nil
}

// installed are the candidates that are measured unless others are named: all, but Caddy only where it is at hand.
func installed() []string {
	names := candidateNames()
	if _, err := child.Find("caddy"); err != nil {
		names = slices.DeleteFunc(names, func(n string) bool { return n == "caddy" })
	}
	return names
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
