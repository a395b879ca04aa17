package trace

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

var countedBounds = []float64{0.1, 0.15, 0.22, 0.33}

// counted makes counters, read each five seconds, of what f says came in each; every request takes 140 ms.
func counted(t *testing.T, from time.Time, steps int, f func(step int) (n float64, up, restart bool)) *Counted {
	t.Helper()
	k, err := NewCounter(from, from.Add(time.Duration(steps)*5*time.Second), countedBounds)
	if err != nil {
		t.Fatal(err)
	}
	var in, none, all, sum []Value
	v := 0.0
	for i := range steps + 1 {
		n, up, restart := f(i)
		if restart {
			v = 0
		}
		v += n
		if !up {
			continue
		}
		at := from.Add(time.Duration(i) * 5 * time.Second)
		in, none, all = append(in, Value{at, v}), append(none, Value{at, 0}), append(all, Value{at, v})
		sum = append(sum, Value{at, v * 0.14})
	}
	k.Arrivals(in)
	k.Service(0, none)
	for i := 1; i <= len(countedBounds); i++ {
		k.Service(i, all)
	}
	k.Sum(sum)
	return k.Counted()
}

func TestCountsBecomeTheRequestsAgain(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := counted(t, from, 720, func(i int) (float64, bool, bool) { // an hour, with a rush of ten minutes
		switch {
		case i == 0:
			return 1e6, true, false // what came before
		case i >= 240 && i < 360:
			return 100, true, false
		}
		return 5, true, false
	})
	if n := c.Arrivals(); n != 600*5+120*100 {
		t.Errorf("%d arrivals, want %d", n, 600*5+120*100)
	}
	if len(c.Gaps) != 0 || c.Restarts != 0 {
		t.Errorf("gaps %v, %d restarts", c.Gaps, c.Restarts)
	}
	b, err := json.Marshal(c) // as it goes to weir replay
	if err != nil {
		t.Fatal(err)
	}
	got := new(Counted)
	if err := json.Unmarshal(b, got); err != nil || got.Check() != nil {
		t.Fatal(err, got.Check())
	}
	rs := slices.Collect(got.Requests(RebuildOptions{Seed: 7}))
	if int64(len(rs)) != c.Arrivals() || !slices.IsSortedFunc(rs, func(a, b Request) int { return int(a.At - b.At) }) {
		t.Errorf("%d requests, in order: no", len(rs))
	}
	rush, sum := 0, time.Duration(0)
	for _, r := range rs {
		if r.At >= 20*time.Minute-5*time.Second && r.At < 30*time.Minute-5*time.Second {
			rush++
		}
		if r.Service < 100*time.Millisecond || r.Service > 220*time.Millisecond {
			t.Fatalf("a service time of %v, where all were 140ms", r.Service)
		}
		sum += r.Service
	}
	if rush != 12000 {
		t.Errorf("%d requests in the rush", rush)
	}
	if mean := (sum / time.Duration(len(rs))).Seconds(); math.Abs(mean-0.14) > 0.002 {
		t.Errorf("a mean of %g s, want 0.14", mean)
	}
	if !slices.EqualFunc(rs, slices.Collect(c.Requests(RebuildOptions{Seed: 7})), func(a, b Request) bool { return a.At == b.At && a.Service == b.Service }) {
		t.Error("the same seed gives other requests")
	}
	if n := len(slices.Collect(c.Requests(RebuildOptions{Seed: 7, Scale: 0.1}))); n < 1400 || n > 1600 {
		t.Errorf("a tenth of 15000 is %d", n)
	}
	if p50 := c.ServiceQuantile(.5); p50 < 100*time.Millisecond || p50 > 150*time.Millisecond {
		t.Errorf("half of 140ms took %v", p50)
	}
}

func TestARestartIsAGapAndLosesNoCount(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := counted(t, from, 240, func(i int) (float64, bool, bool) { // down from the fifth minute to the tenth
		down := i > 60 && i < 120
		if down {
			return 0, false, false
		}
		return 10, true, i == 120
	})
	if want := []Gap{{300 * time.Second, 295 * time.Second}}; !slices.Equal(c.Gaps, want) {
		t.Errorf("gaps %v, want %v", c.Gaps, want)
	}
	if c.Restarts != 1 || c.Arrivals() != 60*10+121*10 {
		t.Errorf("%d restarts, %d arrivals, want 1 and %d", c.Restarts, c.Arrivals(), 60*10+121*10)
	}
	var took int64
	for _, s := range c.Services {
		took += total(s.Counts)
	}
	if took != c.Arrivals() {
		t.Errorf("%d service times for %d requests", took, c.Arrivals())
	}
	for r := range c.Requests(RebuildOptions{Seed: 1}) {
		if r.At > 300*time.Second && r.At < 595*time.Second {
			t.Fatalf("a request at %v, while Weir was down", r.At)
		}
	}
}

func TestCountsThatCannotBe(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if _, err := NewCounter(from, from, nil); err == nil {
		t.Error("an empty time is taken")
	}
	if _, err := NewCounter(from, from.AddDate(1, 0, 0), nil); err == nil {
		t.Error("a year is taken")
	}
	good := Counted{From: from, To: from.Add(time.Hour), Bounds: []float64{1}}
	for what, c := range map[string]Counted{
		"no time":                 {From: from, To: from},
		"periods that overlap":    {From: from, To: good.To, Periods: []Period{{0, time.Minute, 1}, {time.Second, time.Minute, 1}}},
		"a period behind the end": {From: from, To: good.To, Periods: []Period{{time.Hour, time.Minute, 1}}},
		"bounds that fall":        {From: from, To: good.To, Bounds: []float64{2, 1}},
		"counts that miss":        {From: from, To: good.To, Bounds: []float64{1}, Services: []Services{{0, []int64{1}, 1}}},
		"counts below 0":          {From: from, To: good.To, Bounds: []float64{1}, Services: []Services{{0, []int64{1, -1}, 1}}},
	} {
		if c.Check() == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	if rs := slices.Collect(good.Requests(RebuildOptions{})); len(rs) != 0 {
		t.Errorf("requests of nothing: %v", rs)
	}
	good.Periods = []Period{{0, time.Minute, 3}}
	if rs := slices.Collect(good.Requests(RebuildOptions{})); len(rs) != 3 || rs[0].Service != 0 {
		t.Errorf("without service times: %v", rs)
	}
}
