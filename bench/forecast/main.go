// Command forecast backtests package forecast on recorded traffic: the last quarter of each trace (or with -quarter 3 the one before, to choose by), from rolling origins, each with only what was
// known by then. It prints the WAPE of the next 24 hours, that of the last of them, the error one step ahead against persistence's,
// and how often the 50, 80 and 90 % bands held.
package main

import (
	"compress/gzip"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirlb/weir/forecast"
)

func load(path, layout string, step time.Duration) (forecast.Series, error) {
	f, err := os.Open(path)
	if err != nil {
		return forecast.Series{}, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return forecast.Series{}, err
	}
	r := csv.NewReader(z)
	s := forecast.Series{Step: step}
	for line := 0; ; line++ {
		rec, err := r.Read()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if line == 0 {
			continue
		}
		at, err := time.Parse(layout, rec[0])
		if err != nil {
			return s, err
		}
		v, err := strconv.ParseFloat(rec[1], 64)
		if err != nil {
			return s, err
		}
		if line == 1 {
			s.Start = at
		}
		i := int(at.Sub(s.Start) / step)
		for len(s.Values) <= i {
			s.Values = append(s.Values, math.NaN())
		}
		s.Values[i] = v
	}
}

type sums struct{ err, actual, cover50, cover80, cover90, n, soonErr, soonPers, last, lastA float64 }

func main() {
	traces := flag.String("traces", "../shared/traces", "folder with the recorded traces")
	step := flag.Duration("step", 0, "step to forecast in; 0 is 30 min for nyc_taxi, 15 min for worldcup98")
	days := flag.Int("history", 0, "days of history to use; 0 is all")
	every := flag.Duration("every", 6*time.Hour, "time between two origins")
	which := flag.String("trace", "", "taxi or worldcup; empty is both")
	part := flag.Int("quarter", 4, "of the trace to forecast: 4 is the report, 3 is where models and widths are chosen")
	models := flag.String("models", "all", "beside ours: all, none, or names with commas; names joined by + are combined")
	flag.Parse()
	for _, tr := range []struct {
		name string
		file string
		step time.Duration
		to   time.Duration
	}{{"taxi", "nab_nyc_taxi.csv.gz", 30 * time.Minute, 30 * time.Minute}, {"worldcup", "worldcup98_to_june.csv.gz", time.Minute, 15 * time.Minute}} {
		if *which != "" && *which != tr.name {
			continue
		}
		s, err := load(filepath.Join(*traces, tr.file), "2006-01-02 15:04:05", tr.step)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench/forecast: %v\nPut the trace there, or name its folder with -traces.\n", err)
			os.Exit(1)
		}
		if *step != 0 {
			tr.to = *step
		}
		s = s.Resample(max(tr.to, tr.step))
		s.Values = s.Values[:len(s.Values)*min(max(*part, 2), 4)/4]
		n := len(s.Values)
		test := n * (min(max(*part, 2), 4) - 1) / min(max(*part, 2), 4)
		day := int(24 * time.Hour / s.Step)
		sets := [][]string{nil}
		names := []string{"ours"}
		if *models == "all" {
			for _, m := range append(forecast.Models(), "plain_holt_winters_day", "plain_holt_winters_week") {
				sets, names = append(sets, []string{m}), append(names, m)
			}
		} else if *models != "none" {
			for m := range strings.SplitSeq(*models, ",") {
				sets, names = append(sets, strings.Split(m, "+")), append(names, m)
			}
		}
		t0 := time.Now()
		for k, set := range sets {
			var mu sync.Mutex
			var a sums
			origins := make(chan int)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for o := range origins {
						h := s
						h.Values = s.Values[:o]
						if *days > 0 {
							h = h.Last(time.Duration(*days) * 24 * time.Hour)
						}
						f, err := forecast.New(h, forecast.Options{Horizon: 24 * time.Hour, Models: set, Quantiles: []float64{.05, .1, .25, .5, .75, .9, .95}})
						if err != nil {
							fmt.Println(err)
							continue
						}
						mu.Lock()
						for i, v := range f.Point {
							y := s.Values[o+i]
							if math.IsNaN(y) {
								continue
							}
							a.err += math.Abs(v - y)
							a.actual += y
							in := func(l, u int) float64 {
								if y >= f.Values[l][i] && y <= f.Values[u][i] {
									return 1
								}
								return 0
							}
							a.n++
							a.cover90 += in(0, 6)
							a.cover80 += in(1, 5)
							a.cover50 += in(2, 4)
							if i == 0 {
								a.soonErr += math.Abs(v - y)
								a.soonPers += math.Abs(s.Values[o-1] - y)
							}
							if i == len(f.Point)-1 {
								a.last += math.Abs(v - y)
								a.lastA += y
							}
						}
						mu.Unlock()
					}
				})
			}
			for o := test; o+day <= n; o += int(*every / s.Step) {
				origins <- o
			}
			close(origins)
			wg.Wait()
			fmt.Printf("%-10s %-26s wape %.4f at24h %.4f soon/pers %.3f  cover %.3f %.3f %.3f   %v\n", tr.name, names[k], a.err/a.actual, a.last/a.lastA, a.soonErr/a.soonPers, a.cover50/a.n, a.cover80/a.n, a.cover90/a.n, time.Since(t0).Round(time.Second/10))
		}
	}
}
