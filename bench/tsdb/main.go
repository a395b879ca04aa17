// Command tsdb measures what the history of measured values costs: it adds so many series every five seconds for a simulated time, as fast as
// the machine can, and computes what the whole retention takes on disk and in memory.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/measure/history"
)

func main() {
	series := flag.Int("series", 10_000, "series")
	span := flag.Duration("for", time.Hour, "simulated time at one value every 5 s, beside the time that fills the first blocks")
	long := flag.Duration("long", 48*time.Hour, "simulated time at one value a minute")
	flag.Parse()
	debug.SetMemoryLimit(400 << 20)
	if err := report(*series, *span, *long); err != nil {
		fmt.Fprintln(os.Stderr, "tsdb:", err)
		os.Exit(1)
	}
}

// What Weir keeps by default, see config.DefaultMetrics.
const (
	interval  = 5 * time.Second
	minute    = time.Minute
	detail    = 24 * time.Hour
	retention = 15 * 24 * time.Hour
)

func report(n int, span, long time.Duration) error {
	every, err := simulate(n, span+3*time.Hour, interval)
	if err != nil {
		return err
	}
	minutes, err := simulate(n, long+3*time.Hour, minute)
	if err != nil {
		return err
	}
	const mega = 1e6
	of := func(every time.Duration, kept time.Duration, each float64) float64 {
		return float64(n) * float64(kept/every) * each / mega
	}
	fine, coarse := of(interval, detail, every.fine.each()), of(minute, retention, minutes.coarse.each())
	log := float64(every.log) / mega
	fmt.Printf("\ncomputed for %d series: %v of every value %.0f MB + %v of one a minute %.0f MB + log %.0f MB = %.0f MB on disk (aim 1000)\n",
		n, detail, fine, retention, coarse, log, fine+coarse+log)
	fmt.Printf("every value for %v would take %.0f MB\n", retention, of(interval, retention, every.fine.each()))
	fmt.Printf("memory: %.0f MB resident at most, this program included (aim 500)\n", float64(max(every.resident, minutes.resident))/mega)
	return nil
}

// cost is what was measured.
type cost struct {
	fine, coarse  written
	log, resident int64 // bytes
}

// simulate adds n series for a time.
func simulate(n int, span, every time.Duration) (c cost, err error) {
	dir, err := os.MkdirTemp("", "weir-tsdb-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	db, err := history.Open(history.Options{Dir: dir, Retention: retention, Detail: detail, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return c, err
	}
	defer db.Close()
	all := make([]walk, n)
	for i := range all {
		all[i] = newWalk(i)
	}
	now := time.Now().Add(-span).Truncate(2 * time.Hour)
	batch := make([]history.Sample, n)
	began, rounds := time.Now(), int(span/every)
	for r := range rounds {
		for i := range all {
			batch[i] = all[i].next(now)
		}
		if err := db.Append(batch); err != nil {
			return c, err
		}
		if now = now.Add(every); r%60 == 0 {
			c.resident = max(c.resident, resident())
		}
		if now.Minute() == 0 && now.Second() == 0 && now.Hour()%2 == 1 {
			if err := db.Compact(); err != nil { // which goes by the clock of the samples
				return c, err
			}
		}
	}
	took := time.Since(began)
	if err := db.Compact(); err != nil {
		return c, err
	}
	c.resident = max(c.resident, resident())
	c.fine, c.coarse = blocks(filepath.Join(dir, "fine")), blocks(filepath.Join(dir, "coarse"))
	c.log = size(dir) - c.fine.bytes - c.coarse.bytes
	samples := float64(rounds) * float64(n)
	fmt.Printf("%d series every %v for %v: %.1f million values, %.0f thousand a second; in blocks: every value %.2f bytes each (%.1f MB), one a minute %.2f bytes each (%.1f MB)\n",
		n, every, span, samples/1e6, samples/took.Seconds()/1e3, c.fine.each(), float64(c.fine.bytes)/1e6, c.coarse.each(), float64(c.coarse.bytes)/1e6)
	return c, nil
}

// walk is a series as servers have them: a gauge that moves now and then, a counter, or a number that changes all the time.
type walk struct {
	labels labels.Labels
	kind   measure.Kind
	value  float64
	random *rand.Rand
	how    int
}

func newWalk(i int) walk {
	names := []string{"queue_depth", "requests_total", "cpu_utilization", "memory_bytes", "duration_seconds_bucket"}
	w := walk{how: i % len(names), random: rand.New(rand.NewPCG(uint64(i), 1))}
	w.labels = labels.FromStrings("__name__", names[w.how], "pool", "pool-"+strconv.Itoa(i/500), "instance", "pool-"+strconv.Itoa(i/500)+"-"+strconv.Itoa(i/20%25), "le", strconv.Itoa(i%20))
	if w.how == 1 || w.how == 4 {
		w.kind = measure.Counter
	}
	return w
}

func (w *walk) next(now time.Time) history.Sample {
	switch r := w.random; w.how {
	case 0: // an integer that is the same most of the time
		if r.Float64() < 0.3 {
			w.value = max(0, w.value+float64(r.IntN(5)-2))
		}
	case 1: // a counter under load
		w.value += float64(r.IntN(20))
	case 2: // a percentage with one decimal
		w.value = math.Round(10*min(100, max(0, w.value+r.NormFloat64()*5))) / 10
	case 3: // pages of memory
		if r.Float64() < 0.2 {
			w.value += 4096 * float64(r.IntN(1000))
		}
	case 4: // a bucket that is hit now and then
		if r.Float64() < 0.1 {
			w.value++
		}
	}
	return history.Sample{Labels: w.labels, Kind: w.kind, Time: now, Value: w.value}
}

// written are the blocks of a TSDB.
type written struct {
	bytes   int64
	samples uint64
}

func (w written) each() float64 { return float64(w.bytes) / float64(max(w.samples, 1)) }

func blocks(dir string) (w written) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "meta.json"))
	if err != nil {
		return w
	}
	for _, meta := range found {
		b, err := os.ReadFile(meta)
		if err != nil {
			continue
		}
		var m struct {
			Stats struct {
				NumSamples uint64 `json:"numSamples"`
			} `json:"stats"`
		}
		if json.Unmarshal(b, &m) != nil {
			continue
		}
		w.samples += m.Stats.NumSamples
		w.bytes += size(filepath.Dir(meta))
	}
	return w
}

func size(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if i, err := d.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}

// resident is the memory of this process, in bytes; on other systems than Linux what Go took from it.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if f := strings.Fields(string(b)); err == nil && len(f) > 1 {
		if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
