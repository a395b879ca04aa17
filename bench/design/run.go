package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/bench/internal/child"
	"github.com/weirlb/weir/planner"
	"github.com/weirlb/weir/sim"
)

var errNotReady = errors.New("the instances did not get ready")

// runs carries the case out, each part with the commands that a user has.
type runs struct {
	weir, out string
}

func (b *runs) file(name string) string { return filepath.Join(b.out, name) }

// planned is what the plan says of its spike.
func planned(a *planner.Answer) *outcome {
	s := a.Best.InSpike
	o := &outcome{
		name: "plan, 5,000 users", requests: s.Requests, served: s.Served, wait: s.WaitP95.Seconds() / a.Facts.Mean.Seconds(),
		peak: float64(s.Peak) / a.Question.Users, used: s.InstanceSeconds / a.Facts.Mean.Seconds() / (s.Served * float64(s.Requests)),
	}
	return o
}

// record writes the spike as traces: whole, and a hundredth of its requests ten times as fast.
func (b *runs) record(requests iter.Seq[sim.Request]) (err error) {
	var files [2]*os.File
	var lines [2]*bufio.Writer
	for i, name := range []string{"large.csv", "small.csv"} {
		if files[i], err = os.Create(b.file(name)); err != nil {
			return err
		}
		defer files[i].Close()
		lines[i] = bufio.NewWriter(files[i])
		fmt.Fprintln(lines[i], "arrival_s,service_time_s")
	}
	chance := rand.New(rand.NewPCG(question.Seed, 0x736d616c6c))
	for r := range requests {
		fmt.Fprintf(lines[0], "%.6f,%.6f\n", r.At.Seconds(), r.Service.Seconds())
		if chance.Float64() < 1/smaller {
			fmt.Fprintf(lines[1], "%.6f,%.6f\n", r.At.Seconds()/faster, r.Service.Seconds()/faster)
		}
	}
	return errors.Join(lines[0].Flush(), lines[1].Flush())
}

// config writes the plan's config, edited, and returns its path.
func (b *runs) config(name string, a *planner.Answer, edit ...string) (string, error) {
	text := strings.NewReplacer(edit...).Replace(planner.YAML(&a.Question, &a.Facts, &a.Best))
	path := b.file(name + ".yaml")
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// replay has weir replay judge the plan by the trace.
func (b *runs) replay(ctx context.Context, name string, a *planner.Answer, boot time.Duration) (*outcome, error) {
	config, err := b.config(name, a)
	if err != nil {
		return nil, err
	}
	boots := b.file(name + "-boots.csv")
	if err := os.WriteFile(boots, fmt.Appendf(nil, "boot_seconds\n%.3f\n", boot.Seconds()), 0o644); err != nil {
		return nil, err
	}
	result := b.file(name + ".json")
	cmd := exec.CommandContext(ctx, b.weir, "replay", "-c", config, "--trace", b.file(name+".csv"), "--boot", boots,
		"--json", result, "--html", b.file(name+".html"))
	if says, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("weir replay: %w: %s", err, says)
	}
	text, err := os.ReadFile(result)
	if err != nil {
		return nil, err
	}
	var r struct {
		Runs []struct {
			Requests, Lost int
			Wait           float64 `json:"wait_p95_s"`
			Peak           int     `json:"peak_instances"`
			Hours          float64 `json:"instance_hours"`
			Span           float64 `json:"span_s"`
			Curve          struct {
				T         []float64 // seconds
				Instances []int
			}
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	run, mean := r.Runs[0], a.Facts.Mean.Seconds()
	o := &outcome{
		name: fmt.Sprintf("weir replay, %.0f users", a.Question.Users), requests: run.Requests, served: 1 - float64(run.Lost)/float64(run.Requests),
		wait: run.Wait / mean, peak: float64(run.Peak) / a.Question.Users, used: run.Hours * 3600 / mean / float64(run.Requests-run.Lost),
	}
	for i, t := range run.Curve.T {
		o.curve = append(o.curve, point{t / run.Span, float64(run.Curve.Instances[i]) / a.Question.Users})
	}
	return o, nil
}

// real runs the plan with this machine's processes as instances. It returns the boot that half of them took too.
func (b *runs) real(ctx context.Context, a *planner.Answer) (_ *outcome, boot time.Duration, err error) {
	ports, err := child.FreePorts(2)
	if err != nil {
		return nil, 0, err
	}
	listen, control := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	state, err := os.MkdirTemp("", "weir-design-")
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	const start = 300 * time.Millisecond // of a boot: what it takes beside loading
	command := fmt.Sprintf("[%q, infer, --port, %q, --device, emulated, --model, image, --step-time, 25ms, --load-time, %v, --drain]",
		b.weir, "{{.Port}}", a.Facts.Type.Boot-start)
	path, err := b.config("real", a, `":8080"`, fmt.Sprintf("%q", listen), `[./serve, --port, "{{.Port}}"]`, command,
		"health: {path: /health/ready}", "health: {path: /health/ready, interval: 100ms}",
		"pools:\n", fmt.Sprintf("admin: {address: %q}\nstate: %q\npools:\n", control, state))
	if err != nil {
		return nil, 0, err
	}
	weir, err := child.Start("weir", exec.Command(b.weir, "run", "-c", path), b.file("real.log"), nil)
	if err != nil {
		return nil, 0, err
	}
	defer weir.Stop()
	s := &watched{url: "http://" + control + "/v1/status"}
	if err := s.ready(ctx, a.Best.Min); err != nil {
		return nil, 0, fmt.Errorf("%w; see %s", err, b.file("real.log"))
	}
	result := b.file("real.json")
	load := exec.CommandContext(ctx, b.weir, "load", "http://"+listen+"/generate", "--trace", b.file("small.csv"), "--step-time", "25ms",
		"-d", `{"prompt":"a river at sunset","steps":{{.Steps}},"seed":{{.I}}}`, "-H", "Content-Type: application/json", "-H", "X-Weir-Debug: 1", "--json", result)
	var says bytes.Buffer
	load.Stdout, load.Stderr = &says, &says
	began := time.Now()
	if err := load.Start(); err != nil {
		return nil, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- load.Wait() }()
	s.watch(ctx, ended)
	lasted := time.Since(began)
	text, err := os.ReadFile(result)
	if err != nil {
		return nil, 0, fmt.Errorf("weir load: %w: %s", err, says.Bytes())
	}
	var r struct {
		Total struct {
			Sent, Done int
			Wait       struct {
				P95 float64 `json:"p95_ms"`
			}
		}
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, 0, err
	}
	mean := a.Facts.Mean.Seconds()
	o := &outcome{
		name: fmt.Sprintf("for real, %.0f users", a.Question.Users), requests: r.Total.Sent, served: float64(r.Total.Done) / float64(r.Total.Sent),
		wait: r.Total.Wait.P95 / 1000 / mean, peak: float64(s.most) / a.Question.Users, used: s.seconds / mean / float64(r.Total.Done),
	}
	for _, p := range s.points {
		o.curve = append(o.curve, point{p.at.Sub(began).Seconds() / lasted.Seconds(), float64(p.instances) / a.Question.Users})
	}
	return o, s.boot, nil
}

// watched is a running Weir.
type watched struct {
	url     string
	most    int
	seconds float64 // of instances
	boot    time.Duration
	points  []seen
}

type seen struct {
	at        time.Time
	instances int
}

// look counts the instances, those that load and drain included, and not those of the warm pool: they cost nothing.
func (s *watched) look(ctx context.Context) (ready int, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var st admin.Status
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		return 0, err
	}
	p, n := &st.Pools[0], 0
	for _, i := range p.Instances {
		if i.State != "warm" && !i.Spare {
			n++
		}
	}
	now := time.Now()
	if k := len(s.points); k > 0 {
		s.seconds += float64(s.points[k-1].instances) * now.Sub(s.points[k-1].at).Seconds()
	}
	s.points, s.most = append(s.points, seen{now, n}), max(s.most, n)
	if p.Boot != nil {
		s.boot = time.Duration(p.Boot.P50 * float64(time.Second))
	}
	return p.Scale.Ready, nil
}

// ready waits for the first instances.
func (s *watched) ready(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		got, err := s.look(ctx)
		if err == nil && got >= n {
			s.points, s.seconds = nil, 0
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d instances, %w", errNotReady, got, n, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// watch looks until the load has ended.
func (s *watched) watch(ctx context.Context, ended <-chan error) {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			s.look(ctx) // a look that fails is made up for by the next
		}
	}
}
