package admin

import (
	"math"
	"sync"
	"time"
)

// HistorySpan is how far back GET /v1/history goes.
const HistorySpan = 15 * time.Minute

const historyPoints = int(HistorySpan / time.Second)

// History is the last minutes of every pool, in columns as a chart wants them: value i belongs to Times[i]. A value is
// absent where the pool did not exist, or where nothing was measured.
type History struct {
	Times []float64         `json:"times"` // Unix seconds
	Pools map[string]Series `json:"pools"`
}

// Series is one pool's history by name of the measure; see [seriesNames].
type Series map[string][]*float64

// The measures of a Series, in the order of a sample's values.
var seriesNames = [...]string{
	"requests_per_second", "errors_per_second", "latency_p50_s", "latency_p95_s", "latency_p99_s",
	"wait_p95_s", "queue_depth", "in_flight", "slots", "ready", "loading", "desired",
}

type sample [len(seriesNames)]float64

type point struct {
	t     time.Time
	pools map[string]sample
}

// history keeps a point a second.
type history struct {
	mu     sync.Mutex
	points []point // a ring once it is full
	next   int
	last   map[string]Totals
	lastT  time.Time
}

func newHistory() *history { return &history{last: map[string]Totals{}} }

func (h *history) add(st Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := point{t: st.Time, pools: make(map[string]sample, len(st.Pools))}
	last := make(map[string]Totals, len(st.Pools))
	for _, pool := range st.Pools {
		var errors float64
		if before, ok := h.last[pool.Name]; ok {
			errors = perSecond(before.Failed(), pool.Totals.Failed(), st.Time.Sub(h.lastT))
		}
		last[pool.Name] = pool.Totals
		p.pools[pool.Name] = sampleOf(pool, errors)
	}
	h.last, h.lastT = last, st.Time
	if len(h.points) < historyPoints {
		h.points = append(h.points, p)
		return
	}
	h.points[h.next] = p
	h.next = (h.next + 1) % len(h.points)
}

func perSecond(before, after uint64, span time.Duration) float64 {
	if after < before || span <= 0 {
		return 0
	}
	return float64(after-before) / span.Seconds()
}

// sampleOf leaves out what is not known, as NaN: latency when there was no traffic, capacity when the pool does not scale.
func sampleOf(p Pool, errors float64) sample {
	unknown := math.NaN()
	latency, wait := p.Latency, p.Wait.P95
	if latency.P99 == 0 {
		latency, wait = Quantiles{unknown, unknown, unknown}, unknown
	}
	ready, loading, desired := unknown, unknown, unknown
	if p.Scale != nil {
		ready, loading, desired = float64(p.Scale.Ready), float64(p.Scale.Loading), float64(p.Scale.Desired)
	}
	return sample{
		p.Rates.Requests, errors, latency.P50, latency.P95, latency.P99,
		wait, float64(p.Queue.Depth), float64(p.InFlight), float64(p.Slots), ready, loading, desired,
	}
}

// since returns the points after from, of one pool when pool is not "".
func (h *history) since(from time.Time, pool string) History {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := History{Times: []float64{}, Pools: map[string]Series{}}
	n := len(h.points)
	for i := range n {
		p := h.points[(h.next+i)%n]
		if !p.t.After(from) {
			continue
		}
		out.Times = append(out.Times, float64(p.t.UnixMilli())/1000)
		for name, s := range p.pools {
			if pool == "" || pool == name {
				out.put(name, len(out.Times)-1, s)
			}
		}
	}
	for _, s := range out.Pools { // those that are gone by now
		for name := range s {
			s[name] = pad(s[name], len(out.Times))
		}
	}
	return out
}

func (h *History) put(pool string, i int, s sample) {
	series := h.Pools[pool]
	if series == nil {
		series = Series{}
		h.Pools[pool] = series
	}
	for k, name := range seriesNames {
		var v *float64
		if !math.IsNaN(s[k]) && !math.IsInf(s[k], 0) {
			v = new(round(s[k]))
		}
		series[name] = append(pad(series[name], i), v)
	}
}

// pad fills a column up to n values with absent ones.
func pad(column []*float64, n int) []*float64 {
	for len(column) < n {
		column = append(column, nil)
	}
	return column
}

// round keeps four significant digits: more would only make the answer longer.
func round(v float64) float64 {
	if v == 0 {
		return 0
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	if math.IsInf(scale, 0) || scale == 0 {
		return v
	}
	return math.Round(v*scale) / scale
}
