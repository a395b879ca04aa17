package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/weirlb/weir/trace"
)

// traceFlags say how to read a trace. Every command that reads one has them.
type traceFlags struct {
	From  string  `help:"Begin there: an offset such as 90m, or a date such as 2024-11-20 or '2024-11-20 08:30'." group:"Trace"`
	Scale float64 `help:"Multiply the load: 0.1 takes a tenth of the trace's requests, 3 three times as many." default:"1" group:"Trace"`

	MaxRequests int               `help:"End after so many requests; 0 is no limit." group:"Trace"`
	Column      map[string]string `help:"Name a column that is not recognised: time=seen_at. Roles: time, end, service, total, wait, in, out, model, prefix, tenant, method, path, status, count and more." mapsep:"," placeholder:"ROLE=NAME" group:"Trace"`
	Zone        string            `help:"Time zone of times that name none, such as Europe/Berlin; without it, UTC is assumed and said." group:"Trace"`
	Unit        string            `help:"What times written as numbers count: s, ms, us or ns." enum:",s,ms,us,ns" default:"" group:"Trace"`
	ServiceUnit string            `help:"What service times count that have no unit in their column's name: s, ms, us or ns." enum:",s,ms,us,ns" default:"" group:"Trace"`
	Period      time.Duration     `help:"How long a row of counts lasts; without it, the distance of the first two rows." group:"Trace"`
	Disorder    time.Duration     `help:"How far out of order rows may stand; without it 10s, and 10m for access logs." group:"Trace"`
	Spread      bool              `help:"Draw a moment within the second for times that are whole seconds, as logs write them." group:"Trace"`
	Once        bool              `help:"Drop rows that equal another one of the same time." group:"Trace"`
}

// options are those of the trace package; to ends the part.
func (f *traceFlags) options(to string, seed uint64, even bool) (trace.Options, error) {
	o := trace.Options{Columns: f.Column, Unit: unitOf(f.Unit), ServiceUnit: unitOf(f.ServiceUnit), Scale: f.Scale, Seed: seed, Max: f.MaxRequests,
		Even: even, Period: f.Period, Disorder: f.Disorder, Once: f.Once, Spread: f.Spread}
	if f.Scale == 0 {
		return o, fmt.Errorf("--scale 0 leaves no request; give a number above 0, such as 0.1")
	}
	var err error
	if f.Zone != "" {
		if o.Zone, err = time.LoadLocation(f.Zone); err != nil {
			return o, fmt.Errorf("--zone: %w; write one such as Europe/Berlin or UTC", err)
		}
	}
	if o.From, err = trace.ParseMoment(f.From, o.Zone); err != nil {
		return o, fmt.Errorf("--from: %w", err)
	}
	if o.To, err = trace.ParseMoment(to, o.Zone); err != nil {
		return o, fmt.Errorf("--to: %w", err)
	}
	return o, nil
}

func unitOf(s string) time.Duration {
	return map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond, "ns": time.Nanosecond}[s]
}

// printWarnings says what a trace left open.
func printWarnings(w io.Writer, name string, warnings []trace.Warning) {
	for _, x := range warnings {
		at := name
		if x.Line > 0 {
			at = fmt.Sprintf("%s:%d", name, x.Line)
		}
		fmt.Fprintf(w, "%s: note: %s\n", at, x.Text)
	}
}

type traceCmd struct {
	File string `arg:"" help:"The trace: CSV, JSON lines, Weir's or nginx's access log, counts; compressed or not." type:"existingfile"`
	To   string `help:"End there: an offset or a date." group:"Trace"`
	Seed uint64 `help:"Seed of what is drawn." default:"1" group:"Trace"`
	traceFlags
}

func (traceCmd) Help() string {
	return `Says what Weir takes a file for, what it had to assume, and what is in it.

  weir trace requests.csv.gz
  weir trace access.log --from 2024-11-20 --to 2024-11-21
  weir trace odd.csv --column time=seen_at --column service=took_ms --zone Asia/Tokyo`
}

func (c *traceCmd) Run(o *output) error {
	opt, err := c.options(c.To, c.Seed, false)
	if err != nil {
		return usageError{fmt.Errorf("weir trace: %w", err)}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := trace.Open(c.File, f, opt)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s: %s (%s), %s\n", c.File, t.Format(), t.Kind(), strings.Join(t.Columns(), ", "))
	s, err := t.Summarize()
	printWarnings(o.err, c.File, t.Warnings())
	if err != nil {
		return err
	}
	fmt.Fprintln(o.out)
	return s.WriteText(o.out)
}
