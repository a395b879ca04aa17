package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/load"
)

func TestDemandDoesNotDependOnSpeedAndScale(t *testing.T) {
	const real = 10 * time.Minute
	for _, c := range []struct{ speed, scale float64 }{{1, 1}, {4, .25}, {5, .5}, {20, .1}} {
		p := &plan{speed: c.speed, scale: c.scale}
		// 4.8 requests/s of 1,000 and 200 tokens: 4.8 x (200 x 1.95 ms + 1,000 x 0.1 ms) = 2.352.
		for at := time.Duration(0); at < real; at += time.Second * 10 / 48 {
			p.arrivals = append(p.arrivals, load.Arrival{At: p.replayed(at), Input: int(1000 * c.scale), Output: int(200 * c.scale)})
		}
		for i, got := range p.demand(4, p.replayed(real)) {
			if math.Abs(got-2.352) > .03 {
				t.Errorf("speed %g, scale %g: part %d: a demand of %g instances, want 2.352", c.speed, c.scale, i, got)
			}
		}
	}
}

func TestConfigIsOne(t *testing.T) {
	for _, loads := range []string{"", "/traces/load times.csv.gz"} {
		for _, speed := range []float64{.1, 1, 4, 3.7, 100} {
			p := &plan{speed: speed, scale: .25, weir: "/opt/we ir/weir", loads: loads}
			text, err := p.config("127.0.0.1:9900", t.TempDir())
			if err != nil {
				t.Fatalf("speed %g: %v", speed, err)
			}
			cfg, err := config.Parse("weir.yaml", text, os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			chat := cfg.Pools["chat"]
			if chat.Scale.Min != 0 || chat.Scale.Max != maxFleet || chat.Concurrency != concurrency || chat.Template.Command[0] != p.weir {
				t.Errorf("speed %g: a pool of %+v", speed, chat)
			}
		}
	}
}

func TestBodyHasTheTokensAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, 95, 96, 97, 1000} {
		var got struct {
			MaxTokens int  `json:"max_tokens"`
			IgnoreEOS bool `json:"ignore_eos"`
			Messages  []struct{ Content string }
		}
		if err := json.Unmarshal(body(3, load.Arrival{Input: n, Output: n}), &got); err != nil {
			t.Fatal(err)
		}
		if want := max(n, 1); got.MaxTokens != want || len(got.Messages[0].Content) != want || !got.IgnoreEOS {
			t.Errorf("%d tokens: max_tokens %d, a prompt of %d, ignore_eos %t", n, got.MaxTokens, len(got.Messages[0].Content), got.IgnoreEOS)
		}
	}
}

const metrics = `# TYPE weir_queue_wait_seconds histogram
weir_queue_wait_seconds_bucket{pool="image",le="+Inf"} 7
weir_queue_wait_seconds_bucket{pool="chat",le="0.001"} 60
weir_queue_wait_seconds_bucket{pool="chat",le="0.1"} 80
weir_queue_wait_seconds_bucket{pool="chat",le="0.5"} 100
weir_queue_wait_seconds_bucket{pool="chat",le="+Inf"} 100
weir_queue_wait_seconds_sum{pool="chat"} 9.5
weir_queue_wait_seconds_count{pool="chat"} 100
`

func TestHistogram(t *testing.T) {
	h, err := readHistogram(strings.NewReader(metrics), "weir_queue_wait_seconds", "chat")
	if err != nil {
		t.Fatal(err)
	}
	for q, want := range map[float64]float64{.3: .0005, .6: .001, .7: .0505, .9: .3, 1: .5} {
		if got := h.quantile(q); math.Abs(got-want) > 1e-9 {
			t.Errorf("the %g-quantile is %g, want %g", q, got, want)
		}
	}
	if h.count() != 100 || h.sum != 9.5 || h.atMost(.001) != .6 || h.read(.5) != "≤1ms" || h.read(.9) != "300ms" {
		t.Errorf("count %g, sum %g, at once %g, %s, %s", h.count(), h.sum, h.atMost(.001), h.read(.5), h.read(.9))
	}
	later := histogram{bounds: h.bounds, counts: []float64{60, 80, 110, 111}, sum: 20}
	if d := later.since(h); d.count() != 11 || d.quantile(.5) < .1 || d.quantile(1) != .5 || d.sum != 10.5 {
		t.Errorf("what was added since: %+v", d)
	}
	if got := (histogram{}).read(.5); got != "–" {
		t.Errorf("without a value: %s", got)
	}
}

func FuzzHistogram(f *testing.F) {
	f.Add(metrics)
	f.Add("weir_queue_wait_seconds_bucket{pool=\"chat\",le=\"")
	f.Add("weir_queue_wait_seconds{pool=\"chat\"}")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := readHistogram(strings.NewReader(text), "weir_queue_wait_seconds", "chat")
		if err != nil {
			return
		}
		if !slices.IsSorted(h.bounds) || !slices.IsSorted(h.counts) {
			t.Fatalf("accepted %+v", h)
		}
		h.read(.5)
		h.read(.99)
	})
}

func TestDrawing(t *testing.T) {
	samples := []sample{{At: 0, Ready: 1, Waiting: 9}, {At: time.Second, Ready: 2}, {At: 9 * time.Second, Ready: 3, Loading: 1}, {At: 10 * time.Second, Ready: 4}}
	cols := byColumn(samples, 5, 10*time.Second)
	var ready, waiting []int
	for _, c := range cols {
		ready, waiting = append(ready, c.Ready), append(waiting, c.Waiting)
	}
	if !slices.Equal(ready, []int{2, 2, 2, 2, 4}) || waiting[0] != 9 {
		t.Errorf("ready %v, waiting %v", ready, waiting)
	}
	if got := digits([]float64{0, .1, 1, 1.2, 9.5, 100}); got != ".112++" {
		t.Errorf("digits: %s", got)
	}
	if got, most := spark([]float64{0, 1, 8}); got != "·▂█" || most != 8 {
		t.Errorf("bars: %s of %g", got, most)
	}
	if got := axis(41, 82*time.Second); got != "0:00                0:40                1:20" {
		t.Errorf("axis: %q", got)
	}
	if n := columns(2500*time.Millisecond, 100); n != 3 {
		t.Errorf("%d columns", n)
	}
}

func TestVerdict(t *testing.T) {
	p := &plan{arrivals: []load.Arrival{{Output: 10}, {Output: 5}}}
	result := func(done, failed, events int64) *report {
		return &report{plan: p, result: &load.Result{Total: load.KindResult{Counts: load.Counts{Sent: done + failed, Done: done, Failed: failed}, Events: events}}}
	}
	for _, c := range []struct {
		r    *report
		want string
	}{
		{result(2, 0, 17), ""},
		{result(1, 1, 11), "1 of 2 requests were lost"},
		{result(2, 0, 16), "1 tokens are missing"},
	} {
		err := c.r.verdict()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestSampleCountsWhatDrains(t *testing.T) {
	got := sampleOf(admin.Pool{
		Queue: admin.Queue{Depth: 4}, InFlight: 3, Scale: &admin.Scale{Ready: 2, Loading: 1},
		Instances: []admin.Instance{{State: "ready"}, {State: "draining"}},
	}, time.Second)
	if want := (sample{At: time.Second, Ready: 2, Loading: 1, Draining: 1, Waiting: 4, InFlight: 3}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestMissingFilesAndBadFlags(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace.csv")
	if err := os.WriteFile(trace, []byte("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--trace " + filepath.Join(dir, "none.csv.gz"), []string{"the trace is missing", "none.csv.gz", "Azure/AzurePublicDataset", "CC-BY", "--trace"}},
		{"--trace " + trace + " --weir " + filepath.Join(dir, "none"), []string{"--weir", "make build"}},
		{"--speed 0", []string{"--speed 0", "number"}},
		{"--scale -1", []string{"--scale -1"}},
		{"--for 0s", []string{"--for"}},
		{"more", []string{`"more"`}},
	} {
		_, _, err := parse(strings.Fields(c.args))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", c.args, err, want)
			}
		}
	}
	p, _, err := parse([]string{"--trace", trace, "--weir", trace})
	if err != nil || len(p.arrivals) != 2 || p.arrivals[1].Output != 27 || p.length() > 1100*time.Millisecond {
		t.Errorf("a good trace: %+v, %v", p, err)
	}
}
