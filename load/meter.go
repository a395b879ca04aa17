package load

import (
	"maps"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest time that a histogram tells from a longer one.
const longest = 24 * time.Hour

// histogram holds times in microseconds, to three significant digits.
type histogram struct{ h *hdrhistogram.Histogram }

func newHistogram() histogram {
	return histogram{hdrhistogram.New(1, longest.Microseconds(), 3)}
}

// add records d, clamped to what the histogram holds; so RecordValue cannot fail.
func (h histogram) add(d time.Duration) {
	_ = h.h.RecordValue(min(max(d, 0), longest).Microseconds())
}

func (h histogram) at(percentile float64) time.Duration {
	if h.h.TotalCount() == 0 {
		return 0
	}
	return time.Duration(h.h.ValueAtQuantile(percentile)) * time.Microsecond
}

func (h histogram) quantiles() Quantiles {
	n := h.h.TotalCount()
	if n == 0 {
		return Quantiles{}
	}
	return Quantiles{
		Count: n,
		Min:   time.Duration(h.h.Min()) * time.Microsecond,
		Mean:  time.Duration(h.h.Mean() * float64(time.Microsecond)),
		P50:   h.at(50),
		P90:   h.at(90),
		P95:   h.at(95),
		P99:   h.at(99),
		P999:  h.at(99.9),
		Max:   time.Duration(h.h.Max()) * time.Microsecond,
	}
}

// meter counts what happens to the requests of all kinds, and cuts it into the seconds of the run. All its methods may be called at
// once.
type meter struct {
	start time.Time

	mu     sync.Mutex // guards all below
	second int        // the one being filled
	total  tally
	kinds  []tally
}

// tally is the meter of one kind, or of all.
type tally struct {
	result  KindResult
	latency histogram
	failed  histogram
	ttft    histogram
	gap     histogram
	wait    histogram
	late    histogram

	// Of the second being filled.
	now        Second
	nowLatency histogram
	nowTTFT    histogram
}

func newMeter(start time.Time, streams []Stream) *meter {
	m := &meter{start: start, total: newTally("")}
	for _, s := range streams {
		m.kinds = append(m.kinds, newTally(s.Kind.Name))
	}
	return m
}

func newTally(name string) tally {
	return tally{
		result:  KindResult{Name: name, Status: map[int]int64{}, Errors: map[string]int64{}, Examples: map[string]string{}},
		latency: newHistogram(), failed: newHistogram(), ttft: newHistogram(), gap: newHistogram(), wait: newHistogram(), late: newHistogram(),
		nowLatency: newHistogram(), nowTTFT: newHistogram(),
	}
}

// update lets f change the tally of a kind and the total, in the second of now.
func (m *meter) update(kind int, now time.Time, f func(*tally)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	f(&m.kinds[kind])
	f(&m.total)
}

// roll closes the seconds that ended before now. The caller holds the lock.
func (m *meter) roll(now time.Time) {
	for reached := int(now.Sub(m.start) / time.Second); m.second < reached; m.second++ {
		m.total.close(m.second)
		for i := range m.kinds {
			m.kinds[i].close(m.second)
		}
	}
}

// close ends the second being filled.
func (t *tally) close(second int) {
	s := t.now
	s.Second = second
	s.Outstanding = t.result.Outstanding
	if s.Done > 0 {
		s.P50, s.P95, s.P99 = t.nowLatency.at(50), t.nowLatency.at(95), t.nowLatency.at(99)
		t.nowLatency.h.Reset()
	}
	if t.nowTTFT.h.TotalCount() > 0 {
		s.TTFT50, s.TTFT95 = t.nowTTFT.at(50), t.nowTTFT.at(95)
		t.nowTTFT.h.Reset()
	}
	t.result.Series = append(t.result.Series, s)
	t.now = Second{}
}

func (m *meter) sent(kind int, now time.Time, late time.Duration) {
	m.update(kind, now, func(t *tally) {
		t.result.Sent++
		t.result.Outstanding++
		t.now.Sent++
		t.late.add(late)
	})
}

func (m *meter) dropped(kind int, now time.Time) {
	m.update(kind, now, func(t *tally) {
		t.result.Dropped++
		t.now.Dropped++
	})
}

// token is the first token of a stream.
func (m *meter) token(kind int, now time.Time, after time.Duration) {
	m.update(kind, now, func(t *tally) {
		t.ttft.add(after)
		t.nowTTFT.add(after)
	})
}

// gap is the time between two events of a stream.
func (m *meter) gap(kind int, now time.Time, d time.Duration) {
	m.update(kind, now, func(t *tally) { t.gap.add(d) })
}

// ended is the end of a request.
func (m *meter) ended(kind int, now time.Time, o outcome) {
	m.update(kind, now, func(t *tally) {
		r := &t.result
		r.Outstanding--
		r.Events += o.events
		r.Bytes += o.bytes
		if o.status != 0 {
			r.Status[o.status]++
		}
		if o.waited {
			t.wait.add(o.wait)
		}
		switch {
		case o.aborted:
			r.Aborted++
			t.now.Aborted++
		case o.class != "":
			r.Failed++
			t.now.Failed++
			r.Errors[o.class]++
			if _, seen := r.Examples[o.class]; !seen {
				r.Examples[o.class] = o.detail
			}
			t.failed.add(o.latency)
		default:
			r.Done++
			t.now.Done++
			t.latency.add(o.latency)
			t.nowLatency.add(o.latency)
		}
	})
}

// snapshot is how the run stands.
func (m *meter) snapshot(now time.Time, length time.Duration, final bool) Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	s := Snapshot{Elapsed: now.Sub(m.start), Length: length, Final: final, KindSnapshot: m.total.snapshot()}
	for i := range m.kinds {
		s.Kinds = append(s.Kinds, m.kinds[i].snapshot())
	}
	return s
}

func (t *tally) snapshot() KindSnapshot {
	s := KindSnapshot{Name: t.result.Name, Counts: t.result.Counts}
	if n := len(t.result.Series); n > 0 {
		last := t.result.Series[n-1]
		s.SentRate, s.DoneRate, s.RecentFailed = float64(last.Sent), float64(last.Done), last.Failed
		s.P50, s.P95, s.P99 = last.P50, last.P95, last.P99
	}
	return s
}

// result closes the meter: the last second, which may be shorter, too.
func (m *meter) result(now time.Time) (total KindResult, kinds []KindResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roll(now)
	finish := func(t *tally) KindResult {
		t.close(m.second)
		r := t.result
		r.Status, r.Errors, r.Examples = maps.Clone(r.Status), maps.Clone(r.Errors), maps.Clone(r.Examples)
		r.Latency, r.FailedLatency = t.latency.quantiles(), t.failed.quantiles()
		r.TTFT, r.Gap = t.ttft.quantiles(), t.gap.quantiles()
		r.Wait, r.Late = t.wait.quantiles(), t.late.quantiles()
		return r
	}
	for i := range m.kinds {
		kinds = append(kinds, finish(&m.kinds[i]))
	}
	return finish(&m.total), kinds
}
