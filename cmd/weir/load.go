package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/weirlb/weir/load"
)

type loadCmd struct {
	URL string `arg:"" help:"Where to send requests: http://127.0.0.1:8080/predict."`

	Rate  float64       `help:"Requests a second." default:"10" group:"Schedule"`
	For   time.Duration `help:"How long." default:"30s" group:"Schedule"`
	To    float64       `help:"Ramp from --rate to this many a second." default:"-1" group:"Schedule"`
	Spike string        `help:"FACTOR@AT+LASTING, as in 100x@10s+5s: so many times the rate, from then on, for so long." group:"Schedule"`
	Even  bool          `help:"Space requests evenly. Without it they come as users do: at random (a Poisson process)." group:"Schedule"`
	Seed  uint64        `help:"Seed of the randomness: the same seed sends the same load." default:"1" group:"Schedule"`

	Trace string        `help:"Replay a recorded trace instead: CSV or JSON lines, may be gzipped." type:"existingfile" group:"Trace"`
	Speed float64       `help:"Replay it so many times faster." default:"1" group:"Trace"`
	Scale float64       `help:"Multiply its token counts." default:"1" group:"Trace"`
	Times float64       `help:"Multiply its requests: 2 sends each twice as often." default:"1" group:"Trace"`
	From  time.Duration `help:"Begin at this offset into it." group:"Trace"`
	Until time.Duration `help:"End at this offset; 0 is its end." group:"Trace"`

	Column string `help:"The column or field that holds the time; without it, timestamp." group:"Trace"`

	Method  string        `short:"X" help:"Method; GET without a body, POST with one." group:"Request"`
	Header  []string      `short:"H" help:"Header, as 'Name: value'. May be given again." sep:"none" group:"Request"`
	Body    string        `short:"d" help:"Body, or @FILE. {{.I}}, {{.Input}} and {{.Output}} are the request's number and the trace's token counts." group:"Request"`
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
  weir load http://127.0.0.1:8080/v1/chat/completions --stream --trace requests.csv.gz --speed 10 \
      -d '{"stream":true,"max_tokens":{{.Output}},"messages":[{"role":"user","content":"hello"}]}'`
}

func (l *loadCmd) Run(o *output) error {
	stream, err := l.stream()
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

func (l *loadCmd) stream() (load.Stream, error) {
	kind := load.Kind{Name: "requests", Method: l.Method, URL: l.URL, Stream: l.Stream, Timeout: l.Timeout, Headers: map[string]string{}}
	for _, h := range l.Header {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return load.Stream{}, fmt.Errorf("--header %q: write 'Name: value'", h)
		}
		kind.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	var err error
	if kind.Body, err = l.body(); err != nil {
		return load.Stream{}, err
	}
	if kind.Body != nil && kind.Headers["Content-Type"] == "" {
		kind.Headers["Content-Type"] = "application/json"
	}
	if l.Trace != "" {
		f, err := os.Open(l.Trace)
		if err != nil {
			return load.Stream{}, err
		}
		defer f.Close()
		arrivals, err := load.ReadTrace(l.Trace, f, load.TraceOptions{From: l.From, To: l.Until, Speed: l.Speed, Scale: l.Scale, Multiply: l.Times, Column: l.Column})
		if err != nil {
			return load.Stream{}, err
		}
		if len(arrivals) == 0 {
			return load.Stream{}, fmt.Errorf("%s has no request between --from %v and --until %v", l.Trace, l.From, l.Until)
		}
		return load.Stream{Kind: kind, Arrivals: slices.Values(arrivals), Length: arrivals[len(arrivals)-1].At}, nil
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
	case l.Spike != "" && l.To >= 0:
		return nil, errors.New("--spike and --to do not go together")
	case l.To >= 0:
		phases = []load.Phase{load.Ramp(l.Rate, l.To, l.For)}
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

// body returns what makes each request's body, nil when there is none.
func (l *loadCmd) body() (func(int, load.Arrival) []byte, error) {
	text := l.Body
	if name, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("--body: %w", err)
		}
		text = string(b)
	}
	if text == "" {
		return nil, nil
	}
	t, err := template.New("body").Parse(text)
	if err == nil {
		err = t.Execute(io.Discard, bodyFacts{})
	}
	if err != nil {
		return nil, fmt.Errorf("--body: %w", err)
	}
	return func(i int, a load.Arrival) []byte {
		var b bytes.Buffer
		t.Execute(&b, bodyFacts{i, a.Input, a.Output}) // it was tried above
		return b.Bytes()
	}, nil
}

// bodyFacts are what a body may name.
type bodyFacts struct{ I, Input, Output int }
