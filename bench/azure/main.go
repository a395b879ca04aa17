// Command azure replays ten minutes of a real LLM service's traffic, faster than they were, against a real Weir with a pool that
// scales from zero, and says what waited, what was lost (nothing may be), and what Weir did about it and why.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weirlb/weir/load"
	"github.com/weirlb/weir/trace"
)

const (
	tracesFolder = "../shared/traces"
	traceName    = "azure_llm_conv_2023.csv.gz"
	loadsName    = "gentd26_model_load.csv.gz"
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
		if err.Error() == context.Canceled.Error() { // alone: the clean-up went well
			fmt.Fprintln(os.Stderr, "bench/azure: interrupted; everything it started has been stopped")
		} else {
			fmt.Fprintln(os.Stderr, "bench/azure: interrupted:", err)
		}
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "bench/azure:", err)
		os.Exit(1)
	}
}

// outputs are the files that a run is asked to write.
type outputs struct {
	json, html, log string
}

func parse(args []string) (*plan, outputs, error) {
	var p plan
	var o outputs
	f := flag.NewFlagSet("bench/azure", flag.ContinueOnError)
	f.StringVar(&p.trace, "trace", filepath.Join(tracesFolder, traceName), "the trace: `FILE` of Azure/AzurePublicDataset, gzipped or not")
	f.StringVar(&p.loads, "loads", "", "recorded load times of models: `FILE` (default "+loadsName+" beside the trace, else "+loadTime.String()+" each)")
	f.DurationVar(&p.from, "from", 0, "begin so far into the trace")
	f.DurationVar(&p.lasting, "for", 10*time.Minute, "how much of the trace to replay")
	f.Float64Var(&p.speed, "speed", 4, "replay so many times faster, loads and windows too")
	f.Float64Var(&p.scale, "scale", 0.25, "multiply the tokens of each request; the emulated device is slowed down to match")
	f.StringVar(&p.weir, "weir", "bin/weir", "Weir's `binary`, which is also the inference server")
	f.StringVar(&o.json, "json", "", "write everything measured to this `FILE`")
	f.StringVar(&o.html, "html", "", "write a report with plots to this `FILE`")
	f.StringVar(&o.log, "weir-log", "", "keep what Weir logs in this `FILE`")
	if err := f.Parse(args); err != nil {
		return nil, o, flag.ErrHelp
	}
	if f.NArg() > 0 {
		return nil, o, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	return &p, o, errors.Join(p.check(), p.read())
}

// read finds the files and reads the trace.
func (p *plan) read() error {
	if p.check() != nil {
		return nil // that was said
	}
	f, err := os.Open(p.trace)
	if errors.Is(err, fs.ErrNotExist) {
		return missingTrace(p.trace)
	}
	if err != nil {
		return fmt.Errorf("--trace: %w", err)
	}
	defer f.Close()
	t, err := trace.Open(p.trace, f, trace.Options{From: trace.Moment{Offset: p.from}, To: trace.Moment{Offset: p.from + p.lasting}, Zone: time.UTC})
	if err != nil {
		return err
	}
	for q, err := range t.All() {
		if err != nil {
			return err
		}
		p.arrivals = append(p.arrivals, load.Arrival{At: p.replayed(q.At), Input: p.scaled(q.In), Output: p.scaled(q.Out)})
	}
	if p.loads == "" {
		if beside := filepath.Join(filepath.Dir(p.trace), loadsName); exists(beside) {
			p.loads = beside
		}
	}
	for flag, file := range map[string]*string{"--loads": &p.loads, "--weir": &p.weir} {
		if *file == "" {
			continue
		}
		if !exists(*file) {
			return fmt.Errorf("%s: there is no %s; build Weir with `make build`", flag, *file)
		}
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	return nil
}

func exists(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// missingTrace says what is missing, where it comes from, and how to give it.
func missingTrace(file string) error {
	return fmt.Errorf(`the trace is missing: there is no %s

It is the chat half of Azure's LLM inference traces of 2023: 19,366 requests in 58 minutes, with the columns
TIMESTAMP,ContextTokens,GeneratedTokens (Microsoft, CC-BY; Patel et al., Splitwise, ISCA 2024). It is not part of this
repository. Download data/AzureLLMInferenceTrace_conv.csv from https://github.com/Azure/AzurePublicDataset and give it:

  make bench-azure ARGS='--trace AzureLLMInferenceTrace_conv.csv'`, file)
}

func bench(ctx context.Context, args []string) (err error) {
	p, o, err := parse(args)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "weir-azure-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := launch(ctx, p, dir)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.stop())
		if o.log != "" {
			err = errors.Join(err, copyFile(o.log, s.log))
		}
	}()
	r, err := replay(ctx, p, s, os.Stdout)
	if err != nil {
		return err
	}
	r.write(os.Stdout)
	if err := save(r, o); err != nil {
		return err
	}
	return r.verdict()
}

// replay sends the trace and watches what becomes of it.
func replay(ctx context.Context, p *plan, s *server, out *os.File) (*report, error) {
	st, err := s.status(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Listeners) != 1 || len(st.Pools) != 1 || len(st.Pools[0].Instances) != 0 {
		return nil, fmt.Errorf("the Weir started is not as configured, with one listener and one pool without instances; it said:\n%s", s.said())
	}
	w := &watcher{s: s, p: p, out: out, terminal: isTerminal(out), began: time.Now()}
	opening(out, p, st.Version, s.admin)
	loading, giveUp := context.WithCancel(ctx)
	defer giveUp()
	watching, done := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { w.watch(watching, giveUp) })
	defer wg.Wait()
	defer done()
	result, err := load.Run(loading, load.Options{
		Title: fmt.Sprintf("Azure LLM chat trace, %v from %v on, %g times as fast, %g of the tokens; emulated devices", p.lasting, p.from, p.speed, p.scale),
		Streams: []load.Stream{{
			Kind: load.Kind{Name: "chat", URL: "http://" + st.Listeners[0].Address + "/v1/chat/completions", Stream: true,
				Headers: map[string]string{"Content-Type": "application/json"}, Body: body, Timeout: patience + time.Minute},
			Arrivals: slices.Values(p.arrivals), Length: p.length(),
		}},
		Progress: w.progress,
	})
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !s.alive():
		return nil, errors.Join(fmt.Errorf("the Weir process ended under load; it said:\n%s", s.said()), s.sweep())
	}
	fmt.Fprintln(out, "All is answered. Waiting for the pool to be at zero again.")
	r := &report{plan: p, machine: thisMachine(st.Version), result: result, began: w.began}
	r.toZero, _ = w.awaitZero(ctx, p.replayed(3*window)+20*time.Second)
	r.samples, r.cold = w.taken()
	r.decisions, err = s.decisions(ctx)
	if err != nil {
		return nil, err
	}
	r.waits, err = s.waits(ctx)
	return r, err
}

func opening(w io.Writer, p *plan, version, admin string) {
	in, out := p.tokens()
	n := float64(len(p.arrivals))
	fmt.Fprintf(w, `Weir %s before a chat pool of 0 to %d instances, %d slots each, empty now.

  traffic    %d real requests, %v of Azure's LLM chat trace from %v on, in %v: %g times as fast
  tokens     %g of the recorded: %.0f of prompt and %.0f of answer on average
  demand     as the trace's, %.1f instances always busy
  devices    EMULATED: %v a token, %v a token of prompt; recorded load times: %t
  dashboard  http://%s/

`, version, maxFleet, concurrency, len(p.arrivals), p.lasting, p.from, p.length().Round(time.Second), p.speed,
		p.scale, float64(in)/n, float64(out)/n, p.demand(1, p.replayed(p.lasting))[0],
		p.device(tokenTime), p.device(prefillTime), p.loads != "", admin)
}

// save writes the files that were asked for.
func save(r *report, o outputs) error {
	for _, x := range []struct {
		file  string
		write func(io.Writer) error
	}{{o.json, r.writeJSON}, {o.html, r.result.WriteHTML}} {
		if x.file == "" {
			continue
		}
		f, err := os.Create(x.file)
		if err != nil {
			return err
		}
		if err := errors.Join(x.write(f), f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", x.file, err)
		}
		fmt.Println("wrote", x.file)
	}
	return nil
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// machine is what a run ran on.
type machine struct {
	Weir  string    `json:"weir"`
	Go    string    `json:"go"`
	OS    string    `json:"os"`
	CPU   string    `json:"cpu,omitempty"`
	Cores int       `json:"cores"`
	Date  time.Time `json:"date"`
}

func thisMachine(weir string) machine {
	m := machine{Weir: weir, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(), Date: time.Now().UTC()}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.OS = "Linux " + strings.TrimSpace(string(kernel))
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, name, _ := strings.Cut(string(info), "model name")
		name, _, _ = strings.Cut(name, "\n")
		m.CPU = strings.Trim(name, "\t :")
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("On %s: Weir %s, %s, %d cores of %s, %s.", m.Date.Format(time.DateOnly), m.Weir, m.Go, m.Cores, m.CPU, m.OS)
}
