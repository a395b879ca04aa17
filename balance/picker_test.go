package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weirlb/weir/target"
)

// pool is what the tests drive a picker with: it counts requests in and out as a pool does.
type pool struct {
	Picker
	now    time.Time
	chance *rand.Rand
	all    []*target.Target
	flying []flight
}

type flight struct {
	t     *target.Target
	began time.Time
}

func newPool(t testing.TB, o Options, all []*target.Target) *pool {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p.Set(all)
	return &pool{Picker: p, now: time.Unix(1e9, 0), chance: rand.New(rand.NewPCG(1, 2)), all: all}
}

func many(n int, weigh func(i int) int, slots int) []*target.Target {
	out := make([]*target.Target, n)
	for i := range out {
		out[i] = target.New(fmt.Sprintf("10.0.%d.%d:80", i/256, i%256), "", weigh(i), slots)
	}
	return out
}

func even(int) int { return 1 }

// begin picks for r and counts the request in; nil when nobody is usable.
func (p *pool) begin(r Request) *target.Target {
	r.Now, r.Chance = p.now, p.chance.Uint64()
	t := p.Pick(&r)
	if t != nil {
		p.count(t)
	}
	return t
}

func (p *pool) count(t *target.Target) {
	t.Begin()
	p.Began(t)
	p.flying = append(p.flying, flight{t, p.now})
}

// end counts the i-th request in flight out.
func (p *pool) end(i int, o Outcome) {
	f := p.flying[i]
	p.flying = slices.Delete(p.flying, i, i+1)
	f.t.End(o.Failed)
	o.Now, o.Took = p.now, p.now.Sub(f.began)
	p.Done(f.t, o)
}

// one runs a request that takes d from begin to end with nothing else happening.
func (p *pool) one(r Request, d func(*target.Target) Outcome) *target.Target {
	t := p.begin(r)
	if t != nil {
		o := d(t)
		p.now = p.now.Add(o.Took)
		p.end(len(p.flying)-1, o)
	}
	return t
}

func takes(d time.Duration) func(*target.Target) Outcome {
	return func(*target.Target) Outcome { return Outcome{Took: d} }
}

// Whatever happens, every algorithm returns a usable target, or nil exactly when there is none.
func TestPicksAreUsable(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { walk(t, name) })
		})
	}
}

func walk(t *rapid.T, name string) {
	n := rapid.SampledFrom([]int{1, 2, 3, 20, few, few + 1, 100}).Draw(t, "targets")
	all := many(n, func(int) int { return rapid.IntRange(1, 4).Draw(t, "weight") }, rapid.IntRange(0, 2).Draw(t, "slots"))
	picker, err := New(Options{Name: name, Memory: 64, Loaded: 1 + n%3})
	if err != nil {
		t.Fatal(err)
	}
	rotation := all
	p := &pool{Picker: picker, now: time.Unix(1e9, 0), chance: rand.New(rand.NewPCG(uint64(n), 7)), all: all}
	p.Set(rotation)
	for range rapid.IntRange(1, 150).Draw(t, "steps") {
		p.now = p.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
		switch rapid.IntRange(0, 9).Draw(t, "step") {
		case 0:
			rotation = slices.DeleteFunc(slices.Clone(all), func(*target.Target) bool { return rapid.IntRange(0, 3).Draw(t, "out") == 0 })
			p.Set(rotation)
		case 1:
			x := all[rapid.IntRange(0, n-1).Draw(t, "whom")]
			x.SetSlots(rapid.IntRange(0, 3).Draw(t, "slots"))
			x.SetRamp(rapid.Float64Range(0, 1).Draw(t, "ramp"))
			p.Set(rotation)
		case 2:
			u := rapid.SampledFrom([]float64{-1, 0, 0.5, 2, math.NaN()}).Draw(t, "utilization")
			all[rapid.IntRange(0, n-1).Draw(t, "whom")].SetReport(target.Report{Utilization: u, At: p.now})
		case 3, 4, 5:
			if len(p.flying) > 0 {
				p.end(rapid.IntRange(0, len(p.flying)-1).Draw(t, "which"), Outcome{
					Failed: rapid.Bool().Draw(t, "failed"), Cancelled: rapid.IntRange(0, 4).Draw(t, "cancelled") == 0,
				})
			}
		default:
			r := Request{Now: p.now, Chance: p.chance.Uint64(), Key: rapid.Uint64Range(0, 5).Draw(t, "key")}
			for i := range rapid.Uint64Range(0, 6).Draw(t, "blocks") {
				r.Prefix = append(r.Prefix, Hash([]byte{byte(r.Key), byte(i)}))
			}
			for range rapid.IntRange(0, min(n, 10)).Draw(t, "skipped") {
				r.Skip = append(r.Skip, all[rapid.IntRange(0, n-1).Draw(t, "skip")])
			}
			got := p.Pick(&r)
			if any := slices.ContainsFunc(rotation, r.usable); any != (got != nil) {
				t.Fatalf("%s picked %v; is anybody usable: %v", name, got, any)
			}
			if got == nil {
				continue
			}
			if !slices.Contains(rotation, got) || !r.usable(got) {
				t.Fatalf("%s picked %s, which is not usable", name, got.ID)
			}
			if p.Picker.(Explainer).Why(got) == "" {
				t.Fatalf("%s does not say why", name)
			}
			p.count(got)
		}
	}
}

// With more targets than nginx's order is kept for, turns follow weights, too, and a target that starts slowly gets its part.
func TestManyTargetsGetTheirShares(t *testing.T) {
	for _, name := range []string{"round_robin", "weighted_round_robin", "least_connections", "random_two_choices"} {
		ts := many(100, func(i int) int { return 1 + i%3 }, 0)
		ts[7].SetRamp(0.25)
		p := newPool(t, Options{Name: name}, ts)
		total := 0
		weigh := (*target.Target).Share
		if name == "round_robin" {
			weigh = ramp
		}
		for _, x := range ts {
			total += weigh(x)
		}
		count := map[*target.Target]int{}
		for range 100_000 {
			count[p.one(Request{}, takes(0))]++
		}
		for i, x := range ts {
			want := 100_000 * float64(weigh(x)) / float64(total)
			if got := float64(count[x]); math.Abs(got-want) > 2 {
				t.Errorf("%s: target %d of share %d got %v, want %.1f", name, i, weigh(x), got, want)
			}
		}
	}
}

// A target without a slot gains nothing meanwhile, as in nginx: it does not come back with a claim to all it missed.
func TestRoundRobinDoesNotMakeUpForAbsence(t *testing.T) {
	for _, n := range []int{few, few + 1} {
		ts := many(n, even, 0)
		p := newPool(t, Options{Name: "weighted_round_robin"}, ts)
		ts[0].SetSlots(1)
		p.Set(ts)
		p.count(ts[0])
		for range 100 * n {
			p.Pick(&Request{})
		}
		p.end(0, Outcome{})
		got := 0
		for range 10 * n {
			if p.Pick(&Request{}) == ts[0] {
				got++
			}
		}
		if got < 9 || got > 11 {
			t.Errorf("%d targets: the one that came back got %d of 10 rounds", n, got)
		}
	}
}

// Slots can be taken away between two calls of Set: a target that has none left is not picked all the same.
func TestSlotsThatAreGoneAreNotGiven(t *testing.T) {
	for _, name := range Names() {
		ts := many(few+8, even, 0)
		p := newPool(t, Options{Name: name}, ts)
		for _, x := range ts {
			p.count(x)
		}
		for _, x := range ts[:few+7] {
			x.SetSlots(1)
		}
		for i := range uint64(100) {
			if got := p.begin(Request{Key: i % 3, Prefix: prompt(1, 2)}); got != ts[few+7] {
				t.Fatalf("%s: picked %v, want the only one with a free slot", name, got)
			}
		}
	}
}

// Everything that changes membership keeps what is known of those that stay.
func TestSetKeepsWhoStays(t *testing.T) {
	ts := many(100, even, 0)
	p := newPool(t, Options{Name: "round_robin"}, ts)
	for range 50 {
		p.Pick(&Request{})
	}
	p.Set(ts[10:])
	for i := range 50 {
		if got := p.Pick(&Request{}); got != ts[50+i] {
			t.Fatalf("pick %d after the change: %s, want %s", i, got.ID, ts[50+i].ID)
		}
	}
}

func TestAlgorithmsRefuseNonsense(t *testing.T) {
	for _, o := range []Options{
		{Name: "hash", BoundedLoad: 0.5}, {Name: "hash", BoundedLoad: math.NaN()}, {Name: "affinity", SwitchCost: -1},
		{Name: "affinity", Loaded: 100}, {Name: "prefix_affinity", Lead: -1}, {Name: ""},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, name := range Names() {
		for _, n := range []int{3, few, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { benchmark(b, name, n, 0) })
		}
		b.Run(name+"/10000 of which 10 free", func(b *testing.B) { benchmark(b, name, 10_000, 9_990) })
	}
}

// benchmark measures one request's Pick, Began and Done together.
func benchmark(b *testing.B, name string, n, full int) {
	ts := many(n, func(i int) int { return 1 + i%2 }, 4)
	if name == "random_two_choices" {
		ts = many(n, even, 4)
	}
	p := newPool(b, Options{Name: name}, ts)
	for i, x := range ts {
		x.SetReport(target.Report{Utilization: float64(i%100) / 100, At: p.now})
		if i < full {
			for range 4 {
				x.Begin()
				p.Began(x)
			}
		}
	}
	r := Request{Now: p.now}
	for i := range uint64(16) {
		r.Prefix = append(r.Prefix, mix(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Chance = mix(r.Chance)
		r.Key = r.Chance%1000 + 1
		t := p.Pick(&r)
		if t == nil {
			b.Fatal("nobody is free")
		}
		t.Begin()
		p.Began(t)
		t.End(false)
		p.Done(t, Outcome{Now: r.Now, Took: time.Duration(r.Key) * time.Millisecond})
	}
}

// BenchmarkLoaded is a pool at half its slots, whose requests end in any order: one Pick, Began and Done, and Pick alone.
func BenchmarkLoaded(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			p := newPool(b, Options{Name: name}, many(10_000, func(i int) int { return 1 + i%2 }, 4))
			for _, x := range p.all {
				x.SetReport(target.Report{Utilization: p.chance.Float64(), At: p.now})
			}
			r := Request{Now: p.now}
			for i := range uint64(MaxPrefixes) {
				r.Prefix = append(r.Prefix, mix(i))
			}
			flying := make([]*target.Target, 0, 20_001)
			begin := func() {
				r.Chance = mix(r.Chance)
				r.Key = r.Chance%1000 + 1
				r.Prefix[len(r.Prefix)-1] = r.Chance
				t := p.Pick(&r)
				t.Begin()
				p.Began(t)
				flying = append(flying, t)
			}
			for range 20_000 {
				begin()
			}
			b.ReportAllocs()
			const picks = 50_000
			start := time.Now()
			for range picks {
				r.Chance = mix(r.Chance)
				r.Key = r.Chance%1000 + 1
				p.Pick(&r)
			}
			alone := float64(time.Since(start).Nanoseconds()) / picks
			for b.Loop() {
				begin()
				i, last := below(mix(r.Chance), len(flying)), len(flying)-1
				t := flying[i]
				flying[i], flying = flying[last], flying[:last]
				t.End(false)
				p.Done(t, Outcome{Now: r.Now, Took: time.Duration(r.Key) * time.Millisecond})
			}
			b.ReportMetric(alone, "ns/pick")
		})
	}
}

func BenchmarkSet(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			ts := many(10_000, func(i int) int { return 1 + i%2 }, 4)
			p := newPool(b, Options{Name: name}, ts)
			for i := 0; b.Loop(); i++ {
				p.Set(ts[i%2:])
			}
		})
	}
}
