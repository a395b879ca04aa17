package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/common/model"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/trace"
)

// span is a length of time that may be written in days.
type span time.Duration

// UnmarshalText reads 90m, 24h or 7d.
func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		var days model.Duration
		days, err = model.ParseDuration(string(b))
		d = time.Duration(days)
	}
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no length of time above 0; write 90m, 24h or 7d", b)
	}
	*s = span(d)
	return nil
}

// choose checks that one thing is to be replayed, and that the flags go with it.
func (r *replayCmd) choose() error {
	switch {
	case r.Trace == "" && r.Last == 0:
		return errors.New("say what to replay: --trace FILE with recorded requests, or --last 24h of what Weir itself has measured")
	case r.Trace != "" && r.Last > 0:
		return errors.New("--trace and --last are two things to replay; choose one")
	case r.Last > 0 && (r.From != "" || r.To != "" || r.MaxRequests > 0):
		return errors.New("--from, --to and --max-requests are for --trace; --last ends now")
	case r.BootFailures != nil && !(*r.BootFailures >= 0 && *r.BootFailures <= 1):
		return errors.New("--boot-failures is a part of all launches; write a number from 0 to 1, such as 0.02")
	case !(r.Batch >= 0 && r.Batch <= 1):
		return errors.New("--batch is by what part of its time a request takes longer for each further one on its target; write a number from 0 to 1, such as 0.02")
	case r.Wake < 0:
		return errors.New("--wake is how long an instance of the warm pool takes until it is ready; write a time above 0, such as 20s")
	case r.MTBF < 0:
		return errors.New("--mtbf must be above 0")
	}
	return nil
}

// readLast finds what came in the last hours: in the access log when it has all of it, or else in the counters of Weir's own history.
func (r *replayCmd) readLast(ctx context.Context, w io.Writer, c *config.Config, pool string) (*recording, error) {
	if !(r.Speed > 0) {
		return nil, usageError{errors.New("weir replay: --speed must be above 0")}
	}
	to := time.Now()
	from := to.Add(-time.Duration(r.Last))
	counted, failed := r.recorded(ctx, c, pool, from, to)
	if rec, why := r.readLog(w, c.AccessLog, pool, from, to); rec != nil {
		rec.counted = counted // for its boots, when there are some
		return rec, nil
	} else if c.AccessLog != nil {
		fmt.Fprintf(w, "note: the access log is not used: %s\n", why)
	}
	if counted != nil && counted.From.Sub(from) > time.Minute {
		fmt.Fprintf(w, "note: the history begins at %s, and so does this\n", counted.From.Local().Format(time.DateTime))
	}
	if failed != nil {
		return nil, fmt.Errorf("%w; or replay a recording with --trace FILE", failed)
	}
	return r.rebuild(w, counted)
}

// rebuild makes requests of counts.
func (r *replayCmd) rebuild(w io.Writer, c *admin.Recorded) (*recording, error) {
	if c.Arrivals() > maxRebuilt {
		return nil, fmt.Errorf("%d requests came in that time, more than fit in memory here; take a shorter --last, or --scale 0.1", c.Arrivals())
	}
	rec := &recording{start: c.From, counted: c, title: fmt.Sprintf("the last %v", time.Duration(r.Last))}
	for q := range app.Arrivals(c.Requests(trace.RebuildOptions{Seed: r.Seed, Scale: r.Scale})) {
		q.At = time.Duration(float64(q.At) / r.Speed)
		rec.requests = append(rec.requests, q)
	}
	if len(rec.requests) == 0 {
		return nil, fmt.Errorf("a load scale of %g leaves no request; give a larger one", r.Scale)
	}
	for i, g := range c.Gaps {
		if i == 10 {
			fmt.Fprintf(w, "note: and %d gaps more\n", len(c.Gaps)-i)
			break
		}
		at := c.From.Add(g.At).Local()
		fmt.Fprintf(w, "note: a gap from %s for %v: Weir did not run or could not write, so no request is taken to have come\n", at.Format(time.DateTime), g.Span.Round(time.Second))
	}
	if len(c.Services) == 0 {
		fmt.Fprintf(w, "note: the history has no service times of that time, so each request takes --service %v\n", r.Service)
	}
	rec.about = fmt.Sprintf("the last %v of pool %s, rebuilt from counts and not the very requests: %d of them, at random within %d short periods (seed %d), service p50 %v",
		time.Duration(r.Last), c.Pool, len(rec.requests), len(c.Periods), r.Seed, c.ServiceQuantile(.5).Round(100*time.Microsecond))
	return rec, nil
}

// maxRebuilt bounds the memory: about four gigabytes.
const maxRebuilt = 30e6

// readLog reads the very requests from an access log that has all of them; nil and why not, when it has not.
func (r *replayCmd) readLog(w io.Writer, l *config.AccessLog, pool string, from, to time.Time) (_ *recording, why string) {
	switch {
	case l == nil:
		return nil, "there is none"
	case l.Format != "json":
		return nil, "its format has no service times; write format: json"
	case l.Sample < 1:
		return nil, fmt.Sprintf("it has a sample of %g of the requests", l.Sample)
	case l.Path == "stderr" || l.Path == "stdout":
		return nil, "it goes to " + l.Path + "; write a file's path"
	}
	for _, f := range l.Omit {
		switch f {
		case "time", "pool", "status", "duration_ms", "queue_ms", "attempts":
			return nil, "it leaves out " + f
		}
	}
	if begin, err := beginOf(l.Path); err != nil {
		return nil, err.Error()
	} else if begin.After(from.Add(time.Minute)) {
		return nil, fmt.Sprintf("%s begins at %s, within the time asked for", l.Path, begin.Local().Format(time.DateTime))
	}
	o, err := r.traceFlags.options("", r.Seed, false)
	if err != nil {
		return nil, err.Error()
	}
	o.From, o.To, o.Pool = trace.Moment{Time: from}, trace.Moment{Time: to}, pool
	rec, err := r.readTrace(w, l.Path, o)
	if err != nil {
		return nil, err.Error()
	}
	rec.about += ": the very requests, as the access log has them"
	return rec, ""
}

// beginOf is when an access log begins.
func beginOf(path string) (time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	t, err := trace.Open(path, f, trace.Options{})
	if err != nil {
		return time.Time{}, err
	}
	begin, _ := t.Start()
	return begin, nil
}

// recorded asks the Weir that runs, or else reads the state directory of the one that ran.
func (r *replayCmd) recorded(ctx context.Context, c *config.Config, pool string, from, to time.Time) (*admin.Recorded, error) {
	ask := r.remote
	named := ask.Admin != defaultAdmin
	if !named {
		ask.Admin = addressOfAdmin(c.Admin)
	}
	ask.Token = cmp.Or(ask.Token, c.Admin.Token)
	form := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	b, err := ask.do("GET", pathOf(pool, "recorded")+"?"+form.Encode(), nil)
	if errors.Is(err, syscall.ECONNREFUSED) && !named {
		return app.ReadRecorded(ctx, c.State, pool, from, to, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		return nil, err
	}
	defer b.Close()
	got := new(admin.Recorded)
	if err := json.NewDecoder(b).Decode(got); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if err := got.Check(); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return got, nil
}

// defaultAdmin is where a Weir answers unless its config says otherwise.
const defaultAdmin = "127.0.0.1:9900"

// addressOfAdmin is where the Weir of a config answers.
func addressOfAdmin(a config.Admin) string {
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil {
		return a.Address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	address := net.JoinHostPort(host, port)
	if a.TLS.Cert != "" && !strings.Contains(address, "://") {
		return "https://" + address
	}
	return address
}

// begin has a simulation begin as the recorded one did.
func (rec *recording) begin(o *sim.Options) {
	if rec.counted != nil {
		app.Begin(o, rec.counted, rec.counted.Boots)
	}
	o.Start = rec.start
}
