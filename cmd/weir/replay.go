package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/trace"
)

type replayCmd struct {
	remote
	Config  string   `short:"c" help:"The config whose pool is to be judged." default:"weir.yaml" type:"path"`
	Pool    string   `help:"Its pool; not needed when there is one."`
	Trace   string   `help:"Recorded requests, in any format of docs/traces.md." type:"existingfile" placeholder:"FILE"`
	Last    span     `help:"In place of a trace: what Weir itself has measured so far back, such as 24h or 7d." placeholder:"TIME"`
	Against []string `help:"What to compare with: ${baselines}." placeholder:"NAME"`

	To    string  `help:"End there: an offset or a date." group:"Trace"`
	Speed float64 `help:"Play the arrivals so many times faster; what requests take stays." default:"1" group:"Trace"`
	Boot  string  `help:"Measured boots to draw from: CSV, one a row; without it every boot takes 10 s." type:"existingfile" placeholder:"FILE" group:"Model"`
	traceFlags

	Wake         time.Duration `help:"Time that an instance of the warm pool takes until it is ready; without it as long as a boot when it was stopped, and next to nothing otherwise." placeholder:"TIME" group:"Model"`
	BootFailures *float64      `help:"Part of the launches that come to nothing, such as 0.02; without it what the outcomes in --boot say." placeholder:"PART" group:"Model"`
	MTBF         time.Duration `name:"mtbf" help:"Mean time that an instance serves until it ends by itself, at random; without it none does." placeholder:"TIME" group:"Model"`

	Spot []string `help:"Recorded spot markets of the zones of scale.cost; files without a ZONE are those of its zones in their order." placeholder:"[[TYPE/]ZONE=]FILE" group:"Model"`

	Service time.Duration `help:"Service time of requests for which the trace gives neither that nor tokens." default:"1s" group:"Model"`
	Prefill time.Duration `help:"Time that a token of a prompt takes." default:"200us" group:"Model"`
	Decode  time.Duration `help:"Time that a token of an answer takes." default:"20ms" group:"Model"`
	Batch   float64       `help:"By what part of its time a request takes longer for each further one on its target, such as 0.02; 1 shares the target evenly." default:"0" placeholder:"PART" group:"Model"`
	Switch  time.Duration `help:"Time to load another model than the target has; without it that of the pool's affinity, or nothing." group:"Model"`
	Block   int           `help:"Tokens of a block of a prompt's prefix." default:"512" group:"Model"`
	Blocks  int           `help:"Blocks of prefixes that a target remembers; 0 remembers none." default:"4096" group:"Model"`

	Promise time.Duration `help:"The wait to judge by; without it that of the queue policy, or 2s." group:"Report"`
	Price   float64       `help:"Of an instance for an hour, whatever it is; without it the prices of scale.cost, or 1." group:"Report"`
	Seed    uint64        `help:"Seed of the randomness: the same seed gives the same run." default:"1" group:"Report"`
	JSON    string        `help:"Write the runs as JSON to this file." type:"path" placeholder:"FILE" group:"Report"`
	HTML    string        `help:"Write a page with pictures and every decision to this file." type:"path" placeholder:"FILE" group:"Report"`
}

func (replayCmd) Help() string {
	return `Runs recorded traffic through the balancing, queue, policies and plan of the config, with events in place of sockets and processes: what
users would have waited, and what it would have cost. Each baseline is first tuned on a quarter of the trace, over the settings its own users
would try. Weir's lines come first.

  weir replay -c weir.yaml --trace requests.csv.gz
  weir replay -c weir.yaml --trace access.log --against static,asg-target,oracle --html replay.html
  weir replay -c weir.yaml --trace requests.csv --boot boots.csv --scale 10 --price 1.006

With scale.cost in the pool, money is counted by type and market. --spot says what a spot market had to give: beyond that launches are refused, and
what runs beyond it is taken back after two minutes' notice.

  weir replay -c weir.yaml --trace requests.csv --spot a=us-west-2a.json,b=us-west-2c.json

With --last it needs no trace: it asks the running Weir what came in, or reads the state directory when none runs. The access log has the very
requests, when one is written to a file and reaches back so far; otherwise they are rebuilt from the counters of Weir's own history.

  weir replay -c weir.yaml --last 24h
  weir replay -c other.yaml --last 7d --pool images --against static,oracle --html week.html`
}

func (r *replayCmd) Run(o *output) error {
	c, err := readConfig(r.Config)
	if err != nil {
		return err
	}
	name, p, err := onePool(c, r.Pool)
	if err != nil {
		return usageError{fmt.Errorf("weir replay: %w", err)}
	}
	if err := r.choose(); err != nil {
		return usageError{fmt.Errorf("weir replay: %w", err)}
	}
	against, bounds, err := r.baselines()
	if err != nil {
		return usageError{fmt.Errorf("weir replay: --against: %w", err)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var recorded *recording
	if r.Last > 0 {
		recorded, err = r.readLast(ctx, o.err, c, name)
	} else {
		recorded, err = r.read(o.err)
	}
	if err != nil {
		return err
	}
	options, err := r.options(o.err, name, p, recorded)
	if err != nil {
		return err
	}
	runs, err := r.compare(ctx, o.err, options, recorded, against)
	if err != nil {
		return err
	}
	for _, bound := range bounds {
		runs = append(runs, bound(options, recorded.requests))
	}
	return r.report(o, options, recorded, runs)
}

// recording is a trace as it was read.
type recording struct {
	requests []sim.Request
	start    time.Time
	title    string
	about    string          // in a line
	counted  *admin.Recorded // what Weir's own history has of the time; nil for a trace
	markets  string          // the spot markets, a line each
}

// read reads the trace, and says what it had to assume.
func (r *replayCmd) read(w io.Writer) (*recording, error) {
	options, err := r.traceFlags.options(r.To, r.Seed, false)
	if err != nil {
		return nil, usageError{fmt.Errorf("weir replay: %w", err)}
	}
	if !(r.Speed > 0) {
		return nil, usageError{errors.New("weir replay: --speed must be above 0")}
	}
	return r.readTrace(w, r.Trace, options)
}

// readTrace reads a file.
func (r *replayCmd) readTrace(w io.Writer, path string, options trace.Options) (*recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := trace.Open(path, f, options)
	if err != nil {
		return nil, err
	}
	rec := &recording{title: path}
	for q, err := range t.All() {
		if err != nil {
			return nil, err
		}
		rec.requests = append(rec.requests, sim.Request{
			At: time.Duration(float64(q.At) / r.Speed), Service: q.Service, Input: int(q.In), Output: int(q.Out), Prefix: q.Prefix,
			Model: hashed(q.Model), Tenant: hashed(q.Tenant),
		})
	}
	printWarnings(w, path, t.Warnings())
	n := len(rec.requests)
	if n == 0 {
		return nil, fmt.Errorf("%s has no request between --from and --to", path)
	}
	var dated bool
	if rec.start, dated = t.Start(); !dated {
		rec.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	span := rec.requests[n-1].At
	rec.about = fmt.Sprintf("%s: %d requests over %s, read as %s", path, n, span.Round(time.Second), t.Format())
	return rec, nil
}

// hashed names a model or tenant by a number; nobody's name is 0.
func hashed(name string) uint64 {
	if name == "" {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return max(h.Sum64(), 1)
}

// readBoots reads measured boots; none when no file is named.
func (r *replayCmd) readBoots(w io.Writer) (*trace.Boots, error) {
	if r.Boot == "" {
		return new(trace.Boots), nil
	}
	f, err := os.Open(r.Boot)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := trace.ReadBoots(r.Boot, f, unitOf(r.Unit))
	if err != nil {
		return nil, err
	}
	printWarnings(w, r.Boot, b.Warnings)
	return b, nil
}

// onePool returns the pool of that name, or the only one that there is.
func onePool(c *config.Config, name string) (string, *config.Pool, error) {
	var names []string
	for n := range c.Pools {
		names = append(names, n)
	}
	slices.Sort(names)
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if p := c.Pools[name]; p != nil {
		return name, p, nil
	}
	if name == "" {
		return "", nil, fmt.Errorf("the config has several pools; write --pool with one of %s", strings.Join(names, ", "))
	}
	return "", nil, fmt.Errorf("the config has no pool %q; it has %s", name, strings.Join(names, ", "))
}

// bound is what nobody beats, or nobody who does not know the future.
type bound func(sim.Options, []sim.Request) *sim.Result

func (r *replayCmd) baselines() (against []sim.Baseline, bounds []bound, err error) {
	var names []string
	for _, n := range r.Against {
		switch n {
		case "oracle":
			bounds = append(bounds, sim.Oracle)
		case "clairvoyant":
			bounds = append(bounds, sim.Clairvoyant)
		default:
			names = append(names, n)
		}
	}
	against, err = sim.Named(names)
	return against, bounds, err
}

func (r *replayCmd) options(w io.Writer, name string, p *config.Pool, rec *recording) (sim.Options, error) {
	o := app.Simulation(name, p)
	if o.Forecast == nil && p.Scale != nil {
		for _, one := range p.Scale.Policies {
			if one.Predict != nil {
				fmt.Fprintf(w, "weir replay: predict has no effect here: of a trace only requests_per_second, in_flight and queue_depth can be forecast, not %s\n", one.Predict.Measured())
			}
		}
	}
	o.Seed = r.Seed
	if r.Price > 0 && len(r.Spot) == 0 {
		o.Price, o.Mix = r.Price, nil
	}
	rec.begin(&o)
	if r.Promise > 0 {
		o.Promise = r.Promise
	}
	if r.Switch > 0 {
		o.Switch = r.Switch
	}
	o.Service, o.Batch = r.service, r.Batch
	if r.Blocks > 0 {
		o.Prefill, o.PrefixBlock, o.PrefixKeeps = r.Prefill, r.Block, r.Blocks
	}
	if n := len(rec.requests); n > 0 {
		o.Step = min(max((rec.requests[n-1].At/3000).Round(time.Second), time.Second), time.Hour)
	}
	if err := r.readSpot(w, &o, rec); err != nil {
		return o, err
	}
	boots, err := r.readBoots(w)
	if err != nil {
		return o, err
	}
	if r.Boot != "" || rec.counted == nil {
		o.Boot = app.Boots(boots.Times)
	}
	if r.Wake > 0 {
		o.Wake = app.Boots([]time.Duration{r.Wake})
	}
	r.fail(&o, boots)
	return o, nil
}

// fail has launches come to nothing and instances end by themselves.
func (r *replayCmd) fail(o *sim.Options, boots *trace.Boots) {
	part := float64(len(boots.Failed)) / max(1, float64(len(boots.Times)+len(boots.Failed)))
	if r.BootFailures != nil {
		part = *r.BootFailures
	}
	took := o.Boot
	if len(boots.Failed) > 0 {
		took = app.Boots(boots.Failed)
	}
	if part > 0 {
		o.Fail = func(rng *rand.Rand) (time.Duration, bool) { return took(rng), rng.Float64() < part }
	}
	if r.MTBF > 0 {
		o.Life = func(rng *rand.Rand) time.Duration {
			return time.Duration(min(rng.ExpFloat64()*float64(r.MTBF), float64(math.MaxInt64/4)))
		}
	}
}

// service is how long a request takes of which the trace does not say it.
func (r *replayCmd) service(q sim.Request) time.Duration {
	if q.Input+q.Output == 0 {
		return r.Service
	}
	return time.Duration(q.Input)*r.Prefill + time.Duration(q.Output)*r.Decode
}

// compare runs Weir and then each baseline at its best.
func (r *replayCmd) compare(ctx context.Context, w io.Writer, o sim.Options, rec *recording, against []sim.Baseline) ([]*sim.Result, error) {
	progress := newReplayProgress(w, len(rec.requests))
	defer progress.end()
	o.Progress = progress.at("weir")
	first, err := sim.Run(ctx, o, slices.Values(rec.requests))
	if err != nil {
		return nil, err
	}
	runs := []*sim.Result{first}
	for _, b := range against {
		o.Progress = progress.at(b.Name + ", tuning")
		best, err := sim.Tune(ctx, b, o, rec.requests, first.Kept)
		if err != nil {
			return nil, err
		}
		best.Options.Name, best.Options.Progress = b.Name, progress.at(b.Name)
		run, err := sim.Run(ctx, best.Options, slices.Values(rec.requests))
		if err != nil {
			return nil, err
		}
		run.Setting = best.Setting
		runs = append(runs, run)
	}
	return runs, nil
}

func (r *replayCmd) report(o *output, options sim.Options, rec *recording, runs []*sim.Result) error {
	price := "prices: by type and market"
	if options.Mix == nil {
		price = fmt.Sprintf("price: %g an hour", options.Price)
	}
	fmt.Fprintf(o.out, "%s\n%spromise: a wait of at most %v; %s\n\n", rec.about, rec.markets, options.Promise, price)
	if err := sim.WriteTable(o.out, runs); err != nil {
		return err
	}
	about := sim.Report{Title: "weir replay " + rec.title, Trace: rec.about, Start: rec.start, Slots: max(options.Slots, 1), Promise: options.Promise}
	for path, write := range map[string]func(io.Writer) error{
		r.JSON: func(w io.Writer) error { return sim.WriteJSON(w, runs) },
		r.HTML: func(w io.Writer) error { return sim.WriteHTML(w, about, runs) },
	} {
		if path == "" {
			continue
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		fmt.Fprintln(o.err, "wrote", path)
	}
	return nil
}

// replayProgress is a line on a terminal that says how far a replay is.
type replayProgress struct {
	w     io.Writer
	total int

	mu    sync.Mutex // tuning runs several at a time
	last  time.Time
	drawn bool
}

func newReplayProgress(w io.Writer, total int) *replayProgress {
	if !isTerminal(w) {
		w = nil
	}
	return &replayProgress{w: w, total: total}
}

// at returns what is told of the progress of one run.
func (p *replayProgress) at(what string) func(time.Duration, int) {
	if p.w == nil {
		return nil
	}
	return func(at time.Duration, n int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if time.Since(p.last) < 100*time.Millisecond {
			return
		}
		p.last, p.drawn = time.Now(), true
		fmt.Fprintf(p.w, "\r\x1b[K%s: %d of %d requests, %v", what, n, p.total, at.Round(time.Minute))
	}
}

func (p *replayProgress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// baselineNames lists what --against knows.
func baselineNames() string {
	var names []string
	for _, b := range sim.Baselines() {
		names = append(names, b.Name)
	}
	return strings.Join(append(names, "clairvoyant", "oracle"), ", ")
}
