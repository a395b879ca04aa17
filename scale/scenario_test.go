package scale

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the decisions in testdata/*.txt")

// TestScenarios replays testdata/*.txt. A file is input lines, each followed by the decisions it led to (lines that begin
// with "=>"), so that a change of behaviour is a change in a text that people can read. The input lines:
//
//	options min=0 max=10 scale_in_window=60s zero_after=300s max_launching=2
//	policy queue wait_p95=2s | policy target metric=queue_depth value=5
//	policy hpa metric=in_flight average=4 | policy keda queue=4 | policy knative target=4: see kube; options own_timing=true with them
//	slots 2                                       slots of one instance
//	service count=100 mean=1 sd=0.5               measured service times, seconds
//	boot count=20 p50=8 p90=10                    measured boots, seconds
//	fleet 3 boot=8s                               three ready; from here on instances follow the decisions, ready after 8 s
//	instances ready starting@-4s unhealthy        exactly these; @-4s: launched 4 s before 0 s
//	cpu 80 90 ?                                   cpu_utilization of the ready instances in turn; ? reports nothing
//	manual 5 until 60s | manual 5 | auto
//	restart                                       a new Decider goes on from the old one's State, by way of JSON
//	at 10s waiting=3 running=1 rate=2 trend=0.5   set these metrics (? makes one unknown) and decide at 10 s
//	until 60s every 1s                            decide again and again; shows only what changes
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(golden))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(got, golden) {
				t.Errorf("decisions differ from %s (rewrite it with -update and look at the difference); now:\n%s", file, got)
			}
		})
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type scenario struct {
	t       *testing.T
	out     bytes.Buffer
	options Options
	decider *Decider
	obs     Observation
	now     time.Duration
	follow  bool          // instances follow the decisions
	boot    time.Duration // and are ready after this
	cpu     []string
	made    int
	shown   string
}

func replay(t *testing.T, text string) []byte {
	s := &scenario{t: t}
	s.obs.Metrics = map[string]float64{QueueDepth: 0, InFlight: 0, RequestsPerSecond: 0, IdleSeconds: 0}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "=>") {
			continue
		}
		s.out.WriteString(line)
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "#" {
			s.do(fields[0], fields[1:])
		}
	}
	return s.out.Bytes()
}

func (s *scenario) do(verb string, args []string) {
	switch verb {
	case "options":
		o := settings(args)
		s.options.Min, s.options.Max, s.options.MaxLaunching = s.int(o["min"]), s.int(o["max"]), s.int(o["max_launching"])
		s.options.OwnTiming = o["own_timing"] == "true"
		s.options.ScaleInWindow, s.options.ZeroAfter = s.span(o["scale_in_window"]), s.span(o["zero_after"])
	case "policy":
		s.options.Policies = append(s.options.Policies, s.policy(args[0], settings(args[1:])))
	case "slots":
		s.obs.Slots = s.int(args[0])
	case "service":
		s.obs.Service = s.sample(settings(args))
	case "boot":
		s.obs.Boot = s.sample(settings(args))
	case "fleet":
		s.follow, s.boot = true, s.span(settings(args[1:])["boot"])
		s.obs.Instances, s.obs.Desired = nil, s.int(args[0])
		for range s.obs.Desired {
			s.add("ready", epoch.Add(-time.Hour))
		}
	case "instances":
		s.follow, s.obs.Instances = false, nil
		for _, arg := range args {
			state, started, _ := strings.Cut(arg, "@")
			s.add(state, epoch.Add(s.span(started)))
		}
		_, coming := s.obs.capacity()
		ready := len(s.obs.Instances) - coming
		s.obs.Desired = ready + coming
	case "cpu":
		s.cpu = args
	case "manual":
		until := time.Time{}
		if len(args) > 1 {
			until = epoch.Add(s.span(args[2]))
		}
		s.start().Manual(s.int(args[0]), until)
	case "auto":
		s.start().Auto()
	case "restart":
		s.restart()
	case "at":
		s.at(args)
	case "until":
		for end, step := s.span(args[0]), s.span(args[2]); s.now+step <= end; {
			s.advance(s.now + step)
			s.decide(false)
		}
	default:
		s.t.Fatalf("unknown line %q", verb)
	}
}

func (s *scenario) at(args []string) {
	names := map[string]string{"waiting": QueueDepth, "running": InFlight, "rate": RequestsPerSecond, "trend": ArrivalTrend, "idle": IdleSeconds}
	s.advance(s.span(args[0]))
	for name, value := range settings(args[1:]) {
		metric, ok := names[name]
		if !ok {
			s.t.Fatalf("unknown metric %q", name)
		}
		if value == "?" {
			delete(s.obs.Metrics, metric)
		} else {
			s.obs.Metrics[metric] = s.float(value)
		}
	}
	s.decide(true)
}

// advance moves the clock; a pool with nothing waiting or running grows idle with it.
func (s *scenario) advance(now time.Duration) {
	if idle, known := s.obs.metric(IdleSeconds); known {
		if s.obs.idle() {
			s.obs.Metrics[IdleSeconds] = idle + (now - s.now).Seconds()
		} else {
			s.obs.Metrics[IdleSeconds] = 0
		}
	}
	s.now = now
	s.obs.Time = epoch.Add(now)
	ready := 0
	for i := range s.obs.Instances {
		in := &s.obs.Instances[i]
		if s.follow && in.coming() && s.obs.Time.Sub(in.Started) >= s.boot {
			in.State = "ready"
		}
		in.Metrics = nil
		if in.ready() && ready < len(s.cpu) && s.cpu[ready] != "?" {
			in.Metrics = map[string]float64{CPUUtilization: s.float(s.cpu[ready])}
		}
		if in.ready() {
			ready++
		}
	}
}

func (s *scenario) decide(always bool) {
	d := s.start().Decide(&s.obs)
	if shown := fmt.Sprint(d.Desired, d.Bound); always || d.Desired != d.Previous || shown != s.shown {
		s.shown = shown
		fmt.Fprintf(&s.out, "=> %v: %d -> %d", s.now, d.Previous, d.Desired)
		if d.Bound != "" {
			fmt.Fprintf(&s.out, " [%s]", d.Bound)
		}
		fmt.Fprintf(&s.out, " %s\n", d.Why)
		if len(d.Proposals) > 1 {
			for _, p := range d.Proposals {
				asks := strconv.Itoa(p.Desired)
				if p.Abstain {
					asks = "abstains"
				}
				fmt.Fprintf(&s.out, "=>      %s: %s, %s\n", p.Policy, asks, p.Why)
			}
		}
	}
	s.obs.Desired = d.Desired
	if !s.follow {
		return
	}
	for len(s.obs.Instances) < d.Desired {
		s.add("starting", s.obs.Time)
	}
	s.obs.Instances = s.obs.Instances[:d.Desired]
}

func (s *scenario) start() *Decider {
	if s.decider == nil {
		s.decider = New(s.options)
	}
	return s.decider
}

func (s *scenario) restart() {
	text, err := json.Marshal(s.start().State())
	if err != nil {
		s.t.Fatal(err)
	}
	var state State
	if err := json.Unmarshal(text, &state); err != nil {
		s.t.Fatal(err)
	}
	s.decider = New(s.options)
	s.decider.Restore(state)
}

func (s *scenario) add(state string, started time.Time) {
	s.made++
	s.obs.Instances = append(s.obs.Instances, Instance{ID: "i-" + strconv.Itoa(s.made), State: state, Started: started})
}

func (s *scenario) policy(name string, o map[string]string) Policy {
	switch name {
	case "queue":
		return Queue{WaitP95: s.span(o["wait_p95"])}
	case "target":
		return Target{Metric: o["metric"], Value: s.float(o["value"])}
	case "hpa", "keda", "knative":
		return s.kube(name, o)
	}
	s.t.Fatalf("unknown policy %q", name)
	return nil
}

func (s *scenario) sample(o map[string]string) Sample {
	return Sample{Count: s.int(o["count"]), Mean: s.float(o["mean"]), SD: s.float(o["sd"]), P50: s.float(o["p50"]), P90: s.float(o["p90"])}
}

func settings(args []string) map[string]string {
	return maps.Collect(func(yield func(string, string) bool) {
		for _, arg := range args {
			if name, value, _ := strings.Cut(arg, "="); !yield(name, value) {
				return
			}
		}
	})
}

func (s *scenario) int(text string) int { return int(s.float(text)) }

func (s *scenario) float(text string) float64 {
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *scenario) span(text string) time.Duration {
	if text == "" {
		return 0
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}
