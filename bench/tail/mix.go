package main

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// slots is how many requests the targets of every case can work on at a time, counted at the speed for which service times hold.
const slots = 8

// meanService is the mean service time of every mix, before -speed: that of half 50 ms and half 2 s.
const meanService = 1025 * time.Millisecond

// job is one request.
type job struct {
	at      time.Duration // of its arrival, after the start
	service time.Duration // on a target of speed 1
	steps   int           // what the request says of itself, from which its service time can be predicted
}

// mix is a distribution of service times.
type mix struct {
	name  string
	title string
	jobs  []job // without arrivals
}

// twoPoint is half 50 ms and half 2 s, in random order.
func twoPoint(n int, random *rand.Rand) mix {
	m := mix{name: "two", title: "half 50 ms, half 2 s", jobs: make([]job, n)}
	for i := range m.jobs {
		m.jobs[i] = job{service: 50 * time.Millisecond, steps: 1}
		if i%2 == 1 {
			m.jobs[i] = job{service: 2 * time.Second, steps: 40}
		}
	}
	random.Shuffle(n, func(i, j int) { m.jobs[i], m.jobs[j] = m.jobs[j], m.jobs[i] })
	return m
}

const traceName = "gentd26_image_requests.csv.gz"

// heavyTailed draws from the recorded requests of an image generation service, or, without the file, from what was fitted to them.
func heavyTailed(n int, random *rand.Rand, traces string) (mix, error) {
	recorded, err := readRecorded(filepath.Join(traces, traceName))
	m := mix{name: "trace", jobs: make([]job, n)}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.title = "image requests, log-normal fit"
		for i := range m.jobs {
			m.jobs[i] = fitted(random)
		}
	case err != nil:
		return mix{}, err
	default:
		m.title = fmt.Sprintf("image requests, drawn from %d recorded ones", len(recorded))
		for i := range m.jobs {
			m.jobs[i] = recorded[random.IntN(len(recorded))]
		}
	}
	var sum time.Duration
	for _, j := range m.jobs {
		sum += j.service
	}
	for i := range m.jobs {
		m.jobs[i].service = time.Duration(float64(m.jobs[i].service) / float64(sum) * float64(meanService) * float64(n))
	}
	m.title += fmt.Sprintf(", mean %v, longest %v", meanService, longest(m.jobs).Round(time.Millisecond))
	return m, nil
}

// known is the mix with requests that say exactly how long they will take, in ms.
func (m mix) known() mix {
	m.name, m.title = "known", "the same requests, which say how long they take"
	m.jobs = slices.Clone(m.jobs)
	for i, j := range m.jobs {
		m.jobs[i].steps = int(max(1, j.service.Milliseconds()))
	}
	return m
}

func longest(jobs []job) time.Duration {
	return slices.MaxFunc(jobs, func(a, b job) int { return int(a.service - b.service) }).service
}

// fitted is a request like those of the trace: its service times have p50 23 s, p95 69 s and p99 106 s, which a log-normal distribution
// with sigma 0.67 meets; the logarithms of service time and steps correlate with 0.37.
func fitted(random *rand.Rand) job {
	const sigma, correlation, steps = 0.67, 0.37, 30
	x, y := random.NormFloat64(), random.NormFloat64()
	y = correlation*x + math.Sqrt(1-correlation*correlation)*y
	return job{service: time.Duration(23 * math.Exp(sigma*x) * float64(time.Second)), steps: max(1, int(steps*math.Exp(0.5*y)))}
}

// readRecorded reads the requests that succeeded and took any time. Their steps are the sampling steps times the images.
func readRecorded(file string) ([]job, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	jobs, err := parseRecorded(unzipped)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; want the trace of alibaba/clusterdata, cluster-trace-v2026-GenAI", file, err)
	}
	return jobs, nil
}

func parseRecorded(r io.Reader) ([]job, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	heading, err := rows.Read()
	if err != nil {
		return nil, err
	}
	columns := make([]int, 4)
	for i, name := range []string{"predict_status", "exec_time_seconds", "num_inference_steps", "num_images_per_prompt"} {
		if columns[i] = slices.Index(heading, name); columns[i] < 0 {
			return nil, fmt.Errorf("no column %s", name)
		}
	}
	var jobs []job
	for {
		row, err := rows.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		number := func(i int) float64 { v, _ := strconv.ParseFloat(row[columns[i]], 64); return v } // empty ones are left out below
		took, steps := number(1), number(2)*number(3)
		if row[columns[0]] == "SUCCEED" && took > 0 && steps >= 1 {
			jobs = append(jobs, job{service: time.Duration(took * float64(time.Second)), steps: int(steps)})
		}
	}
	if len(jobs) == 0 {
		return nil, errors.New("no request that succeeded")
	}
	return jobs, nil
}

// arrivals returns the jobs as they arrive at random (a Poisson process) so that they amount to load, 0 to 1, of all slots. The same
// gaps are stretched for another load. Speed divides all times.
func (m mix) arrivals(gaps []float64, load, speed float64) []job {
	var work time.Duration
	for _, j := range m.jobs {
		work += j.service
	}
	total := 0.0
	for _, g := range gaps {
		total += g
	}
	stretch := float64(work) / (slots * load) / total
	jobs := make([]job, len(m.jobs))
	at := 0.0
	for i, j := range m.jobs {
		at += gaps[i] * stretch
		jobs[i] = job{at: time.Duration(at / speed), service: time.Duration(float64(j.service) / speed), steps: j.steps}
	}
	return jobs
}

// exponential are n gaps of a Poisson process.
func exponential(n int, random *rand.Rand) []float64 {
	gaps := make([]float64, n)
	for i := range gaps {
		gaps[i] = random.ExpFloat64()
	}
	return gaps
}
