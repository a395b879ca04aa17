package telemetry

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestARouteCountsEachRequestOnce(t *testing.T) {
	var all RouteMeters
	m := all.Meter("chat")
	for i, a := range []Access{
		{Status: 101, Total: time.Millisecond}, // in the first bucket: bounds are inclusive
		{Status: 200, Total: time.Millisecond + 1, BytesIn: 10, BytesOut: 1000},
		{Status: 304}, {Status: 404}, {Status: 503}, {Status: 0},
		{Status: 200, Cut: true, BytesOut: 7},
		{Status: 200, ClientLeft: true, Total: 301 * time.Second},
		{ClientLeft: true, BytesIn: -1, Total: -1},
	} {
		m.Observe(uint32(i), &a)
	}
	counts := make([]uint64, len(DurationBounds))
	for i := range counts {
		counts[i] = 8
	}
	counts[0] = 7
	want := []Route{{
		Name: "chat", Answers2: 2, Answers3: 1, Answers4: 1, Answers5: 1, Broken: 2, Cancelled: 2, BytesIn: 10, BytesOut: 1007,
		Duration: Histogram{Counts: counts, Count: 9, Sum: 301.002000001},
	}}
	if got := all.Read(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	(*RouteMeter)(nil).Observe(0, &Access{})
}

func TestManyCountAtOnce(t *testing.T) {
	var all RouteMeters
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 1000 {
				all.Meter("r").Observe(uint32(g), &Access{Status: 200, Total: time.Second, BytesOut: 3})
				if all.Read()[0].Answers2 == 0 {
					t.Error("what was counted is gone")
				}
			}
		})
	}
	wg.Wait()
	r := all.Read()[0]
	if r.Answers2 != 8000 || r.Duration.Count != 8000 || r.Duration.Sum != 8000 || r.BytesOut != 24000 {
		t.Errorf("%+v", r)
	}
}

func TestRoutesOutliveReloads(t *testing.T) {
	var all RouteMeters
	stays := all.Meter("stays")
	all.Meter("goes")
	all.Retain([]string{"stays"})
	if all.Meter("stays") != stays {
		t.Error("a route that stayed counts anew")
	}
	if r := all.Read(); len(r) != 1 || r[0].Name != "stays" {
		t.Errorf("%+v", r)
	}
	for i := range 2 * maxRoutes {
		all.Meter(fmt.Sprint("r", i)).Observe(0, &Access{Status: 200})
	}
	sum := uint64(0)
	for _, r := range all.Read() {
		sum += r.Answers2
	}
	if r := all.Read(); len(r) != maxRoutes+1 || sum != 2*maxRoutes {
		t.Errorf("%d routes with %d requests", len(r), sum)
	}
	if all.Meter("one more") != all.Meter(other) {
		t.Error("a route too many does not count among the others")
	}
}

func TestThereIsABucketForEachBound(t *testing.T) {
	if nBuckets != len(DurationBounds)+1 {
		t.Errorf("%d buckets for %d bounds", nBuckets, len(DurationBounds))
	}
	if size := unsafe.Sizeof(lane{}); size%128 != 0 {
		t.Errorf("a lane has %d bytes: two share a cache line", size)
	}
}

func BenchmarkObserve(b *testing.B) {
	var all RouteMeters
	m := all.Meter("r")
	var mu sync.Mutex
	on := uint32(0)
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		mine := on
		on++
		mu.Unlock()
		a := typical()
		for pb.Next() {
			m.Observe(mine, a)
		}
	})
}

// pool is one with targets t0, t1, … of which each was given that many requests and spoilt one.
func pool(requests ...int) Pool {
	p := Pool{Name: "p"}
	for i, n := range requests {
		if n >= 0 {
			p.Targets = append(p.Targets, Target{ID: fmt.Sprint("t", i), Up: true, InFlight: 1, Requests: uint64(n), Failures: 1})
		}
	}
	return p
}

func TestTargetsBeyondTheLimitAreSummedUp(t *testing.T) {
	const gone = -1
	var r ration
	for i, c := range []struct {
		limit int
		p     Pool
		want  string // id:up/inFlight/requests/failures
	}{
		{2, pool(10), "t0:1/1/10/1"},
		{2, pool(10, 20, 30, 40), "t0:1/1/10/1 t1:1/1/20/1 other:2/2/70/2"},
		{2, pool(11, 21, 31, 41), "t0:1/1/11/1 t1:1/1/21/1 other:2/2/72/2"},
		{2, pool(11, 21, 31, gone), "t0:1/1/11/1 t1:1/1/21/1 other:1/1/72/2"},                 // the sum does not fall
		{2, pool(11, 21, 31, 5), "t0:1/1/11/1 t1:1/1/21/1 other:2/2/77/3"},                    // back, and counting anew
		{2, pool(gone, 22, 32, 6), "t1:1/1/22/1 t2:1/1/32/1 other:1/1/78/3"},                  // room for one
		{2, pool(0, 23, 33, 7), "t1:1/1/23/1 t2:1/1/33/1 other:2/2/79/4"},                     // whoever has a series keeps it
		{1, pool(1, 24, 40, 8), "t1:1/1/24/1 other:3/3/81/4"},                                 // the 40 of t2 were shown in its own
		{1, pool(gone, 25, gone, gone), "t1:1/1/25/1 other:0/0/81/4"},                         // other stays
		{0, pool(1, 26, 1, 1), "t0:1/1/1/1 t1:1/1/26/1 t2:1/1/1/1 t3:1/1/1/1 other:0/0/81/4"}, // a thousand
	} {
		var got []string
		for _, s := range r.serve([]Pool{c.p}, c.limit)["p"] {
			got = append(got, fmt.Sprintf("%s:%d/%d/%d/%d", s.id, s.up, s.inFlight, s.requests, s.failures))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("step %d: got %s, want %s", i, g, c.want)
		}
	}
	if r.serve(nil, 0); len(r.own)+len(r.rest)+len(r.sums) > 0 {
		t.Errorf("what is gone is kept: %+v", r)
	}
}

func TestTheNumberOfSeriesDoesNotGrowWithTheTargets(t *testing.T) {
	s := Snapshot{Pools: []Pool{{Name: "a"}, {Name: "b"}}}
	for i := range 3000 {
		s.Pools[i%2].Targets = append(s.Pools[i%2].Targets, Target{ID: fmt.Sprint("10.0.0.1:", i)})
	}
	if n := len(gather(t, s)["weir_target_up"].GetMetric()); n != defaultTargetSeries+2 {
		t.Errorf("%d series, want those of %d targets and of the others of either pool", n, defaultTargetSeries)
	}
}
