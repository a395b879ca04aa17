package app

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/h1"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/l7"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/probe"
	"github.com/weirlb/weir/provider/process"
	"github.com/weirlb/weir/route"
	"github.com/weirlb/weir/scale"
	"github.com/weirlb/weir/target"
)

// This file turns what config read into the options of the packages that do the work: they know no YAML, config knows none of them.

// Check finds what is wrong with a config beyond the file itself: commands that do not exist, templates that do not parse.
func Check(c *config.Config) error {
	var errs config.Errors
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		t := c.Pools[name].Template
		if t == nil {
			continue
		}
		if err := process.Check(templateOf(t)); err != nil {
			errs = append(errs, config.Error{Path: "pools." + name + ".template", Message: err.Error()})
		}
	}
	for i, l := range c.Listen {
		if _, err := route.New(routesOf(l)); err != nil {
			errs = append(errs, config.Error{Path: fmt.Sprintf("listen[%d].routes", i), Message: err.Error()})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func routesOf(l config.Listen) []route.Route {
	out := make([]route.Route, len(l.Routes))
	for i, r := range l.Routes {
		out[i] = route.Route{Host: r.Host, Path: r.Path, Pool: r.Pool}
	}
	return out
}

// siteOf is what a listener serves, given the pools by name.
func siteOf(c *config.Config, l config.Listen, pools map[string]*livePool) (*l7.Site, error) {
	table, err := route.New(routesOf(l))
	if err != nil {
		return nil, fmt.Errorf("the routes of %s: %w", l.Address, err)
	}
	s := &l7.Site{
		Routes:      table,
		Limits:      h1.Limits{Head: int(c.Limits.Header), URI: int(c.Limits.URI)},
		MaxBody:     int64(c.Limits.Body),
		MaxConns:    int64(c.Limits.Connections),
		HeadTimeout: time.Duration(c.Timeouts.Header),
		KeepAlive:   time.Duration(c.Timeouts.KeepAlive),
		Forwarded:   l.ForwardedHeader,
		Via:         l.Via,
	}
	for _, r := range l.Routes {
		t := c.Pools[r.Pool].Timeouts
		s.To = append(s.To, &l7.Route{
			Pool: pools[r.Pool].pool, Connect: time.Duration(t.Connect), FirstByte: time.Duration(t.FirstByte), Idle: time.Duration(t.Idle),
		})
	}
	return s, nil
}

func poolOptions(c *config.Pool, wake func()) pool.Options {
	o := pool.Options{
		Balance:  c.Balance,
		Limits:   admit.Limits{Queue: c.Queue.Limit, Timeout: time.Duration(c.Queue.Timeout)},
		FailOpen: c.FailOpen,
		Elastic:  c.Template != nil,
		Wake:     wake,
	}
	if e := c.Ejection; !e.Off {
		o.Ejector = health.Ejector{
			ConsecutiveFailures: e.ConsecutiveFailures, Interval: 10 * time.Second,
			Base: time.Duration(e.Base), Max: time.Duration(e.Max), MaxPercent: e.MaxPercent,
		}
	}
	return o
}

// maxIdle is how many idle connections are kept to one target.
const maxIdle = 1024

func link(c *config.Pool) func(*target.Target) {
	return func(t *target.Target) { l7.Link(t, maxIdle, time.Duration(c.Timeouts.KeepAlive)) }
}

// readiness is a pool's readiness check. Without one in the file an instance is ready once it accepts connections, and a fixed
// target needs no check at all: ok is false then.
func readiness(c *config.Pool) (check probe.Check, ok bool) {
	h := c.Health
	if h == nil {
		if c.Template == nil {
			return probe.Check{}, false
		}
		return probe.Check{Interval: time.Duration(config.DefaultInstanceInterval), Timeout: 5 * time.Second, Rule: health.Rule{Healthy: 2, Unhealthy: 2}}, true
	}
	return probe.Check{
		Path: h.Path, Method: h.Method, Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout),
		Expect: expectOf(h.Expect), Rule: health.Rule{Healthy: h.Healthy, Unhealthy: h.Unhealthy},
	}, true
}

func expectOf(e config.Expect) probe.Expect {
	return probe.Expect{Status: e.Status, JSON: e.JSON, Body: e.Body}
}

func templateOf(t *config.Template) fleet.Template {
	return fleet.Template{
		Provider: t.Provider, Command: t.Command, Env: t.Env, Dir: t.Dir,
		Limits: fleet.Limits{
			Memory: uint64(t.Limits.Memory), CPUTime: time.Duration(t.Limits.CPUTime),
			OpenFiles: uint64(t.Limits.OpenFiles), Nice: t.Limits.Nice,
		},
		Log: fleet.Log{MaxSize: uint64(t.Log.MaxSize), Keep: t.Log.Keep},
	}
}

func fleetOptions(c *config.Pool) fleet.Options {
	t := c.Template
	ready, _ := readiness(c)
	o := fleet.Options{
		Template: templateOf(t), Slots: c.Concurrency, Drain: time.Duration(c.Drain),
		StartTimeout: time.Duration(t.StartTimeout), StopTimeout: time.Duration(t.StopTimeout),
		Backoff: fleet.Backoff{Initial: time.Duration(t.Backoff.Initial), Max: time.Duration(t.Backoff.Max)},
		Join:    link(c), Leave: l7.Unlink,
		Watch: func(ctx context.Context, addr string, from health.Status, report func(health.Status)) {
			probe.Watch(ctx, addr, ready, from, report)
		},
	}
	if l := c.Liveness; l != nil {
		live := probe.Check{
			Path: l.Path, Method: l.Method, Interval: time.Duration(l.Interval), Timeout: time.Duration(l.Timeout),
			Expect: expectOf(l.Expect), Rule: health.Rule{Healthy: 1, Unhealthy: l.Unhealthy},
		}
		o.Live = func(ctx context.Context, addr string, report func(health.Status)) {
			probe.Watch(ctx, addr, live, health.Status{}, report)
		}
	}
	if w := t.WarmUp; w != nil {
		warm := probe.WarmUp{Path: w.Path, Method: w.Method, Body: w.Body, Headers: w.Headers, Timeout: time.Duration(w.Timeout)}
		o.WarmUp = warm.Run
	}
	return o
}

func scaleOptions(name string, s *config.Scale) scale.Options {
	o := scale.Options{
		Pool: name, Min: s.Min, Max: s.Max, ScaleInWindow: time.Duration(s.ScaleInWindow),
		ZeroAfter: time.Duration(s.ZeroAfter), MaxLaunching: s.MaxLaunching,
	}
	for _, p := range s.Policies {
		switch {
		case p.Target != nil:
			o.Policies = append(o.Policies, scale.Target{Metric: p.Target.Metric, Value: p.Target.Value})
		case p.Queue != nil:
			o.Policies = append(o.Policies, scale.Queue{WaitP95: time.Duration(p.Queue.WaitP95)})
		}
	}
	return o
}

func desiredOf(s *config.Scale) int {
	if s.Desired != nil {
		return *s.Desired
	}
	return s.Min
}

// slotsOf is the number of slots for a policy's arithmetic.
func slotsOf(c *config.Pool) int { return min(c.Concurrency, math.MaxInt32) }

// addressOf is how a listener's address is dialled from this machine, for messages.
func addressOf(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", t.Port)
	}
	return a.String()
}
