package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weirlb/weir/load"
)

type loadCmd struct {
	URL string `arg:"" help:"Where to send requests: http://127.0.0.1:8080/predict."`

	Rate  float64       `help:"Requests a second." default:"10" group:"Schedule"`
	For   time.Duration `help:"How long." default:"30s" group:"Schedule"`
	To    string        `help:"Ramp from --rate to this many a second. With --trace: end at this offset, or date." group:"Schedule"`
	Spike string        `help:"FACTOR@AT+LASTING, as in 100x@10s+5s: so many times the rate, from then on, for so long." group:"Schedule"`
	Even  bool          `help:"Space requests evenly. Without it they come as users do: at random (a Poisson process)." group:"Schedule"`
	Seed  uint64        `help:"Seed of the randomness: the same seed sends the same load." default:"1" group:"Schedule"`

	Trace      string        `help:"Send recorded requests instead, in any format of docs/traces.md." type:"existingfile" group:"Trace" placeholder:"FILE"`
	Speed      float64       `help:"So many times faster." default:"1" group:"Trace"`
	Tokens     float64       `help:"Multiply its token counts." default:"1" group:"Trace"`
	TokenChars float64       `help:"Characters of a token of {{.Prompt}}; for weir infer it is 1." default:"4" group:"Trace"`
	StepTime   time.Duration `help:"Time of an image's step on the server, from which {{.Steps}} is told." default:"50ms" group:"Trace"`
	traceFlags

	Method  string        `short:"X" help:"Method; GET without a body, POST with one." group:"Request"`
	Header  []string      `short:"H" help:"Header, as 'Name: value', which may be a template as the body is. May be given again." sep:"none" group:"Request"`
	Body    string        `short:"d" help:"Body, or @FILE. {{.I}}, {{.Input}} and {{.Output}} are the request's number and tokens; docs/load.md lists what else a template may name." group:"Request"`
	Stream  bool          `help:"Answers are server-sent events that end with [DONE]: time to first token and gaps are measured." group:"Request"`
	Timeout time.Duration `help:"For a whole answer." default:"1m" group:"Request"`

	MaxOutstanding int    `help:"Requests in flight at most; above it they are counted as dropped." default:"20000" group:"Report"`
	JSON           string `help:"Write the result as JSON to this file." type:"path" placeholder:"FILE" group:"Report"`
	HTML           string `help:"Write a report with plots to this file." type:"path" placeholder:"FILE" group:"Report"`
}

func (loadCmd) Help() string {
	return `Open loop: a request is sent when it is due, whatever became of the ones before, and its latency counts from when it was due.
Ends with exit code 3 when a request failed.

  weir load http://127.0.0.1:8080/predict --rate 50 --for 1m
  weir load http://127.0.0.1:8080/predict --rate 2 --spike 100x@10s+10s --html spike.html
  weir load http://127.0.0.1:8080 --stream --trace chats.csv.gz --speed 10 --to 20m
  weir load http://127.0.0.1:8080/work --trace access.log --scale 0.1 --max-requests 1000 -d '{"for": {{.Seconds}}}'`
}

func (l *loadCmd) Run(o *output) error {
	stream, err := l.stream(o.err)
	if err != nil {
		return usageError{fmt.Errorf("weir load: %w", err)}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := load.Run(ctx, load.Options{
		Title: "weir load " + l.URL, Streams: []load.Stream{stream}, MaxOutstanding: l.MaxOutstanding, Seed: l.Seed,
		Progress: load.NewProgress(o.err),
	})
	if err != nil {
		return err
	}
	if err := r.WriteTable(o.out); err != nil {
		return err
	}
	for path, write := range map[string]func(io.Writer) error{l.JSON: r.WriteJSON, l.HTML: r.WriteHTML} {
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
	if lost := r.Total.Failed + r.Total.Dropped; lost > 0 {
		return cutError{fmt.Errorf("%d of %d requests were lost", lost, r.Total.Sent+r.Total.Dropped)}
	}
	return nil
}

func (l *loadCmd) stream(w io.Writer) (load.Stream, error) {
	kind := load.Kind{Name: "requests", Method: l.Method, URL: l.URL, Stream: l.Stream, Timeout: l.Timeout}
	var r *replayed
	var err error
	if l.Trace != "" {
		if r, err = l.recorded(w); err != nil {
			return load.Stream{}, err
		}
		if err := r.fill(&kind, w); err != nil {
			return load.Stream{}, err
		}
	}
	if err := l.headers(&kind, r); err != nil {
		return load.Stream{}, err
	}
	if kind.Body, err = l.body(r); err != nil {
		return load.Stream{}, err
	}
	if kind.Body != nil && kind.Headers["Content-Type"] == "" {
		kind.Headers["Content-Type"] = "application/json"
	}
	if r != nil {
		return load.Stream{Kind: kind, Arrivals: r.arrivals, Length: r.length()}, nil
	}
	phases, err := l.phases()
	if err != nil {
		return load.Stream{}, err
	}
	return load.Stream{Kind: kind, Arrivals: load.Phases(l.Seed, !l.Even, phases...), Length: load.Length(phases...)}, nil
}

func (l *loadCmd) phases() ([]load.Phase, error) {
	phases := []load.Phase{load.Constant(l.Rate, l.For)}
	switch {
	case l.Spike != "" && l.To != "":
		return nil, errors.New("--spike and --to do not go together")
	case l.To != "":
		to, err := strconv.ParseFloat(l.To, 64)
		if err != nil {
			return nil, fmt.Errorf("--to %q: give a rate, in requests a second; a time goes with --trace", l.To)
		}
		phases = []load.Phase{load.Ramp(l.Rate, to, l.For)}
	case l.Spike != "":
		factor, at, lasting, err := parseSpike(l.Spike)
		if err != nil {
			return nil, err
		}
		phases = load.Spike(l.Rate, factor, at, lasting, l.For)
	}
	return phases, load.Check(phases...)
}

// parseSpike reads 100x@10s+5s.
func parseSpike(s string) (factor float64, at, lasting time.Duration, err error) {
	bad := fmt.Errorf("--spike %q: write FACTOR@AT+LASTING, as in 100x@10s+5s", s)
	f, rest, ok := strings.Cut(s, "@")
	if !ok {
		return 0, 0, 0, bad
	}
	a, b, ok := strings.Cut(rest, "+")
	if !ok {
		return 0, 0, 0, bad
	}
	factor, e1 := strconv.ParseFloat(strings.TrimSuffix(f, "x"), 64)
	at, e2 := time.ParseDuration(a)
	lasting, e3 := time.ParseDuration(b)
	if errors.Join(e1, e2, e3) != nil || factor <= 0 || at < 0 || lasting <= 0 {
		return 0, 0, 0, bad
	}
	return factor, at, lasting, nil
}
