package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weirlb/weir/bench/internal/child"
)

// bench measures as the arguments say and prints the report.
func bench(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	cells, err := plan(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "weir-tail-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	e := &env{options: o, dir: dir, cells: cells, programs: make(map[string]string), every: scaled(churnEvery, o.speed)}
	defer e.stop()
	if err := e.prepare(ctx); err != nil {
		return err
	}
	usage, err := e.measure(ctx)
	if err != nil {
		return err
	}
	r := e.report(ctx, usage)
	if err := r.save(o.json, o.markdown); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(r.text()); err != nil {
		return err
	}
	return r.failures()
}

// env is everything that runs.
type env struct {
	options
	dir      string
	cells    []*cell
	programs map[string]string // paths
	proxies  []*proxy
	every    time.Duration // between two changes of targets
	churned  churned
}

// churned counts what became of the changes of targets.
type churned struct {
	reloads int
	longest time.Duration // of a reload
}

// prepare opens the targets and starts the programs: one process of each for each case, so that what one case does to its process disturbs no other.
func (e *env) prepare(ctx context.Context) (err error) {
	var errs []error
	for _, name := range e.only {
		switch name {
		case direct:
		case weir:
			e.programs[weir], err = child.Weir(ctx, e.weir, e.dir)
		default:
			if e.programs[name], err = child.Find(name); err != nil {
				err = fmt.Errorf("%s not found: apt-get install %s, or leave it out with -only", name, name)
			}
		}
		errs = append(errs, err)
		err = nil
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, c := range e.cells {
		if err := c.open(e.every); err != nil {
			return err
		}
		c.ideals(e.every)
	}
	for _, kind := range e.cases {
		for _, program := range []string{weir, nginx, haproxy} {
			if err := e.launch(ctx, kind, program); err != nil {
				return err
			}
		}
	}
	return nil
}

// of are the cells of a case and a program.
func (e *env) of(kind, program string) []*cell {
	return slices.DeleteFunc(slices.Clone(e.cells), func(c *cell) bool { return c.kind != kind || c.candidate.program != program })
}

func (e *env) launch(ctx context.Context, kind, program string) error {
	cells := e.of(kind, program)
	if len(cells) == 0 {
		return nil
	}
	var sites []*site
	for _, c := range cells {
		sites = append(sites, c.site)
	}
	p, err := launch(ctx, program, e.programs[program], e.dir, sites)
	if err == nil {
		e.proxies = append(e.proxies, p)
		return nil
	}
	no, ok := errors.AsType[refusal](err)
	if !ok || kind == equal {
		return err
	}
	// A Weir that lacks what a case needs says so; the others are measured all the same.
	for _, c := range cells {
		c.refused = string(no)
	}
	return nil
}

func (e *env) stop() {
	var wg sync.WaitGroup
	for _, p := range e.proxies {
		wg.Go(p.process.Stop)
	}
	wg.Wait()
	for _, c := range e.cells {
		c.close()
	}
}

// measure sends everything and returns what of the machine was used meanwhile.
func (e *env) measure(ctx context.Context) (usage, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before, err := readUsage()
	if err != nil {
		return usage{}, err
	}
	start := time.Now().Add(200 * time.Millisecond)
	var all counts
	var wg, aside sync.WaitGroup
	total, length := 0, time.Duration(0)
	for _, c := range e.cells {
		if c.refused == "" {
			total, length = total+len(c.jobs), max(length, c.length())
			wg.Go(func() { c.run(ctx, start, &all) })
		}
	}
	watching, stop := context.WithCancel(ctx)
	aside.Go(func() { progress(watching, start, length, total, &all) })
	aside.Go(func() {
		if err := e.churn(watching, start); err != nil && watching.Err() == nil {
			cancel(err)
		}
	})
	wg.Wait()
	stop()
	aside.Wait()
	if ctx.Err() != nil {
		return usage{}, context.Cause(ctx)
	}
	after, err := readUsage()
	return after.since(before), err
}

// churn changes the targets of the case churn, one for another at each tick, by reloading Weir.
func (e *env) churn(ctx context.Context, start time.Time) error {
	cells := slices.DeleteFunc(slices.Concat(e.of(churn, weir), e.of(churn, direct)), func(c *cell) bool { return c.refused != "" })
	if len(cells) == 0 {
		return nil
	}
	i := slices.IndexFunc(e.proxies, func(p *proxy) bool { return p.Sites[0] == cells[0].site })
	for tick := 1; ; tick++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(start.Add(cells[0].offset + time.Duration(tick)*e.every))):
		}
		changed := false
		for _, c := range cells {
			changed = c.rotate() || changed
		}
		if !changed {
			return nil
		}
		if i < 0 {
			continue // Weir is not measured
		}
		began := time.Now()
		if err := e.proxies[i].reload(ctx); err != nil {
			return err
		}
		e.churned.reloads++
		e.churned.longest = max(e.churned.longest, time.Since(began))
	}
}
