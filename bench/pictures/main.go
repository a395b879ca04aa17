// Command pictures draws how each policy behaves: all of them meet the same hour of traffic in the simulator, which runs the production code.
// The pictures of docs/img/policies are made by it.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/sim"
)

//go:embed *.yaml
var configs embed.FS

func main() {
	to := flag.String("to", filepath.Join("docs", "img", "policies"), "the folder that the pictures go to")
	flag.Parse()
	if err := drawAll(*to); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func drawAll(to string) error {
	pictures, err := all()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for name, picture := range pictures {
		if err := os.WriteFile(filepath.Join(to, name+".svg"), []byte(picture), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// all are the pictures by name.
func all() (map[string]string, error) {
	files, err := fs.Glob(configs, "*.yaml")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, file := range files {
		text, err := configs.ReadFile(file)
		if err != nil {
			return nil, err
		}
		c, err := config.Parse(file, text, os.LookupEnv)
		if err != nil {
			return nil, err
		}
		r, err := run(c.Pools["api"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		caption, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
		out[strings.TrimSuffix(file, ".yaml")] = draw(caption, r)
	}
	return out, nil
}

// The hour that every policy meets.
const (
	hour    = time.Hour
	step    = 15 * time.Second // between two points of a picture
	service = 4 * time.Second  // of a request, on average
	boot    = 45 * time.Second
	slots   = 4
)

// rate is how many requests a second arrive: a rush of ten times the load that comes from one moment to the next, and a slow hill.
func rate(at time.Duration) float64 {
	switch m := at.Minutes(); {
	case m >= 8 && m < 16:
		return 15
	case m >= 26 && m < 46:
		return 1.5 + 8.5*math.Sin(math.Pi*(m-26)/20)
	default:
		return 1.5
	}
}

// traffic draws arrivals of a Poisson process with that rate, by thinning one with the highest.
func traffic(yield func(sim.Request) bool) {
	const highest = 15
	r := rand.New(rand.NewPCG(1, 2))
	for at := time.Duration(0); ; {
		at += time.Duration(r.ExpFloat64() / highest * float64(time.Second))
		if at >= hour {
			return
		}
		takes := time.Duration((0.5 + r.Float64()) * float64(service))
		if r.Float64() < rate(at)/highest && !yield(sim.Request{At: at, Service: takes}) {
			return
		}
	}
}

func run(c *config.Pool) (*sim.Result, error) {
	o := app.Simulation("api", c)
	o.Start = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	o.Seed, o.Step = 1, step
	o.Boot = app.Boots([]time.Duration{boot})
	return sim.Run(context.Background(), o, iter.Seq[sim.Request](traffic))
}
