package planner

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
)

func TestTogether(t *testing.T) {
	s := func(at, takes float64) sim.Request {
		return sim.Request{At: time.Duration(at * float64(time.Second)), Service: time.Duration(takes * float64(time.Second))}
	}
	for _, c := range []struct {
		requests []sim.Request
		want     int
	}{
		{[]sim.Request{s(0, 1)}, 1},
		{[]sim.Request{s(0, 1), s(1, 1), s(2, 1)}, 1}, // each comes as the one before ends
		{[]sim.Request{s(0, 1.5), s(1, 1.5), s(2, 1.5)}, 2},
		{[]sim.Request{s(0, 9), s(1, 1), s(2, 1), s(3, 1)}, 2}, // a long one stays
		{[]sim.Request{s(5, 1), s(5, 1), s(5, 1)}, 3},
	} {
		if got := (&Traffic{Requests: c.requests}).together(); got != c.want {
			t.Errorf("%v: %d at the same time, want %d", c.requests, got, c.want)
		}
	}
}

// loads are bins of that many days, from a load for each hour.
func loads(days int, load func(day, hour int) float64) (bins []float64) {
	for d := range days {
		for h := range 24 {
			for range int(time.Hour / binLength) {
				bins = append(bins, load(d, h))
			}
		}
	}
	return bins
}

func TestRhythm(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	office := func(h int) float64 {
		if h >= 9 && h < 17 {
			return 10
		}
		return 1
	}
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		start    time.Time
		bins     []float64
		from, to int
		load     float64
	}{
		{"office hours", midnight, loads(6, func(_, h int) float64 { return office(h) }), 9, 17, 10},
		{"office hours, seen from five hours further east", midnight.In(time.FixedZone("UTC+5", 5*3600)), loads(6, func(_, h int) float64 { return office(h) }), 14, 22, 10},
		{"office hours that begin in the afternoon", midnight.Add(14 * time.Hour), loads(6, func(_, h int) float64 { return office((h + 14) % 24) }), 9, 17, 10},
		{"across midnight", midnight, loads(6, func(_, h int) float64 {
			if h >= 21 || h < 3 {
				return 6
			}
			return 1
		}), 21, 3, 6},
		{"office hours of a load that doubles each day", midnight, loads(8, func(d, h int) float64 { return office(h) * math.Exp2(float64(d)) }), 9, 17, 1280},
		{"none", midnight, loads(6, func(int, int) float64 { return 4 }), 0, 0, 0},
		{"nothing at all", midnight, loads(6, func(int, int) float64 { return 0 }), 0, 0, 0},
		{"chance", midnight, loads(20, func(int, int) float64 { return chance.Float64() }), 0, 0, 0},
		{"two days are too few", midnight, loads(2, func(_, h int) float64 { return office(h) }), 0, 0, 0},
	} {
		r := rhythmOf(c.bins, c.start)
		if r.From != c.from || r.To != c.to || c.from != c.to && math.Abs(r.Load-c.load) > 1e-9 {
			t.Errorf("%s: %+v, want from %d to %d with %g", c.name, r, c.from, c.to, c.load)
		}
	}
}

// rush is days of which each has the same few minutes that are busy, as a class that begins has.
func rush(days int) *Traffic {
	chance := rand.New(rand.NewPCG(3, 4))
	t := &Traffic{About: "a week of rushes", Start: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}
	for d := range days {
		for m := range 24 * 60 {
			n := 0.05
			if m >= 9*60 && m < 11*60 {
				n = 8
			}
			at := time.Duration(d*24*60+m) * time.Minute
			for n > chance.Float64() {
				t.Requests = append(t.Requests, sim.Request{At: at + time.Duration(chance.Float64()*float64(time.Minute)), Service: 30 * time.Second})
				n--
			}
		}
	}
	slices.SortFunc(t.Requests, func(a, b sim.Request) int { return int(a.At - b.At) })
	return t
}

// Where all come at nine and a boot takes half an hour, a plan without a schedule breaks its promise each morning, and one that is as wide all day costs more.
func TestAScheduleWhereTheClockSaysSo(t *testing.T) {
	q := Question{Traffic: rush(3), Budget: 5000, Seed: 1, Patience: time.Minute, Types: []Type{{Name: "slow", OnDemand: 1, Slots: 1, Boot: 30 * time.Minute}}}
	a, err := Solve(t.Context(), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &a.Best
	if p.DayMin == 0 || p.DayFrom != 9 || p.DayTo != 11 || !p.Fits || p.Usual.Kept < 0.95 {
		t.Errorf("best: %+v", *p)
	}
	wide, without := 0.0, 1.0
	for _, one := range a.Others {
		if one.DayMin == 0 {
			wide, without = max(wide, one.Monthly), min(without, one.Usual.Kept)
		}
	}
	if p.Monthly >= wide || without >= 0.95 {
		t.Errorf("the plan costs %.0f, one that is wide all day %.0f; without a schedule %.2f are kept", p.Monthly, wide, without)
	}
	text := YAML(&a.Question, &a.Facts, p)
	if _, err := config.Parse("plan.yaml", []byte(text), os.LookupEnv); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	for _, want := range []string{`cron: "28 8 * * *", timezone: UTC`, `cron: "0 11 * * *", timezone: UTC`} {
		if !strings.Contains(text, want) {
			t.Errorf("the config lacks %s:\n%s", want, text)
		}
	}
}

// Whatever was recorded and whatever there is to spend: what is said to keep within the budget does, nothing is planned that the busiest time has no use
// for, each plan is a config that loads, and the same question has the same answer.
func TestAnyRecording(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		traffic := &Traffic{About: "some", Start: time.Date(2026, 3, 2, 7, 0, 0, 0, time.UTC)}
		gap := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 10 * time.Second}).Draw(t, "gap")
		at := time.Duration(0)
		for range rapid.IntRange(leastTraced, leastTraced+20).Draw(t, "requests") {
			traffic.Requests = append(traffic.Requests, sim.Request{At: at, Service: time.Duration(rapid.Int64Range(1, int64(10*time.Second)).Draw(t, "service"))})
			at += time.Duration(rapid.Int64Range(0, int64(gap)).Draw(t, "later"))
		}
		q := Question{
			Traffic: traffic, Budget: rapid.Float64Range(1, 1e5).Draw(t, "budget"), Seed: 1,
			Types: []Type{{Name: "only", OnDemand: 1, Spot: rapid.SampledFrom([]float64{0, 0.3}).Draw(t, "spot"), Slots: rapid.IntRange(1, 4).Draw(t, "slots"), Boot: 20 * time.Second}},
		}
		a, err := Solve(t.Context(), q, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range append([]Plan{a.Best}, a.Others...) {
			if p.Fits != (p.Monthly+p.Spikes <= q.Budget) || p.Max > a.Facts.Peak || p.Min > p.Max || p.DayMin > p.Max || p.QueueLimit < 1 {
				t.Fatalf("%+v of %+v", p, a.Facts)
			}
			if p.Fits && !a.Best.Fits {
				t.Fatalf("%+v fits, and %+v, which does not, is the best", p, a.Best)
			}
			text := YAML(&a.Question, &a.Facts, &p)
			if _, err := config.Parse("plan.yaml", []byte(text), os.LookupEnv); err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
		}
		again, err := try(t.Context(), &a.Question, &a.Facts, a.Best.Shape)
		if err != nil || again != a.Best {
			t.Fatalf("%+v, then %+v, %v", a.Best, again, err)
		}
	})
}

func TestRecordingsThatCannotBePlannedBy(t *testing.T) {
	q := Question{Traffic: rush(1), Budget: 100, Types: question().Types}
	q.Traffic.Requests = q.Traffic.Requests[:leastTraced-1]
	if _, err := Solve(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Error(err)
	}
	q.Traffic = rush(1)
	q.Traffic.Requests[7].Service = 0
	if _, err := Solve(t.Context(), q, nil); err == nil || !strings.Contains(err.Error(), "request 8 has no service time") {
		t.Error(err)
	}
}
