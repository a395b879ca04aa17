package telemetry

import (
	"cmp"
	"maps"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// RouteMeter counts what a route's requests came to. Each core counts in its own lane, so that none waits for another's memory.
type RouteMeter struct {
	name  string
	lanes []lane // a power of two
}

// Endings of requests, by which they are counted.
const (
	ended2xx = iota // and 1xx
	ended3xx
	ended4xx
	ended5xx
	endedBroken // without a whole answer
	endedLeft   // the client left first
	nEndings
)

// nBuckets is how many buckets a histogram has: one for each of DurationBounds, and one for what took longer.
const nBuckets = 18

var boundsInNanos = func() (out [nBuckets - 1]int64) {
	for i := range out {
		out[i] = int64(DurationBounds[i] * float64(time.Second))
	}
	return out
}()

type lane struct {
	endings [nEndings]atomic.Uint64
	buckets [nBuckets]atomic.Uint64
	nanos   atomic.Uint64
	in, out atomic.Uint64
	_       [128 - (nEndings+nBuckets+3)*8%128]byte // two cache lines, as processors fetch them in pairs
}

// maxLanes bounds what a route takes: 256 bytes a lane.
const maxLanes = 32

func newRouteMeter(name string) *RouteMeter {
	n := min(runtime.GOMAXPROCS(0), maxLanes)
	return &RouteMeter{name: name, lanes: make([]lane, 1<<bits.Len(uint(n-1)))}
}

// Observe counts a request that has ended. on says where: requests that end on the same core should give the same number, such as
// that of their event loop or connection. It looks at a's Status, Total, BytesIn, BytesOut, Cut and ClientLeft, and does nothing on
// a nil meter.
func (m *RouteMeter) Observe(on uint32, a *Access) {
	if m == nil {
		return
	}
	l := &m.lanes[on&uint32(len(m.lanes)-1)]
	l.endings[ending(a)].Add(1)
	took := max(int64(a.Total), 0)
	i := 0
	for i < len(boundsInNanos) && took > boundsInNanos[i] {
		i++
	}
	l.buckets[i].Add(1)
	l.nanos.Add(uint64(took))
	if a.BytesIn > 0 {
		l.in.Add(uint64(a.BytesIn))
	}
	if a.BytesOut > 0 {
		l.out.Add(uint64(a.BytesOut))
	}
}

func ending(a *Access) int {
	switch {
	case a.Cut:
		return endedBroken
	case a.ClientLeft:
		return endedLeft
	case a.Status >= 500:
		return ended5xx
	case a.Status >= 400:
		return ended4xx
	case a.Status >= 300:
		return ended3xx
	case a.Status > 0:
		return ended2xx
	}
	return endedBroken
}

// Read sums up what was counted. Counts that are taken while others count may differ by these.
func (m *RouteMeter) Read() Route {
	r := Route{Name: m.name, Duration: Histogram{Counts: make([]uint64, len(boundsInNanos))}}
	var nanos uint64
	for i := range m.lanes {
		l := &m.lanes[i]
		for e, n := range []*uint64{ended2xx: &r.Answers2, ended3xx: &r.Answers3, ended4xx: &r.Answers4, ended5xx: &r.Answers5, endedBroken: &r.Broken, endedLeft: &r.Cancelled} {
			*n += l.endings[e].Load()
		}
		for b := range l.buckets {
			n := l.buckets[b].Load()
			r.Duration.Count += n
			if b < len(r.Duration.Counts) {
				r.Duration.Counts[b] += n
			}
		}
		nanos += l.nanos.Load()
		r.BytesIn += l.in.Load()
		r.BytesOut += l.out.Load()
	}
	for i := 1; i < len(r.Duration.Counts); i++ {
		r.Duration.Counts[i] += r.Duration.Counts[i-1]
	}
	r.Duration.Sum = time.Duration(nanos).Seconds()
	return r
}

// maxRoutes is how many routes have a meter of their own.
const maxRoutes = 1000

// RouteMeters are the meters of all routes. They outlive reloads, so that a route that stays goes on counting. The zero value is
// ready; all methods may be called from any goroutine.
type RouteMeters struct {
	mu     sync.Mutex
	byName map[string]*RouteMeter
}

// Meter returns the meter of a route, the same for the same name. Beyond 1,000 routes all share the one named other.
func (r *RouteMeters) Meter(route string) *RouteMeter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byName == nil {
		r.byName = map[string]*RouteMeter{}
	}
	if _, ok := r.byName[route]; !ok && len(r.byName) >= maxRoutes {
		route = other
	}
	m, ok := r.byName[route]
	if !ok {
		m = newRouteMeter(route)
		r.byName[route] = m
	}
	return m
}

// Retain forgets the routes whose names are not in names: those that a reload took away.
func (r *RouteMeters) Retain(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.byName, func(name string, _ *RouteMeter) bool { return name != other && !slices.Contains(names, name) })
}

// Read sums up every route, by name.
func (r *RouteMeters) Read() []Route {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.byName))
	r.mu.Unlock()
	out := make([]Route, len(all))
	for i, m := range all {
		out[i] = m.Read()
	}
	slices.SortFunc(out, func(a, b Route) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
