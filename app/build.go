package app

import (
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"time"

	"github.com/weirlb/weir/admit"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/listen/certs"
	"github.com/weirlb/weir/pool"
	"github.com/weirlb/weir/probe"
	"github.com/weirlb/weir/provider/process"
	"github.com/weirlb/weir/route"
)

// This file turns what config read into the options of the packages that do the work: they know no YAML, config knows none of them.

// Check finds what is wrong with a config beyond the file itself: commands that do not exist, templates that do not parse,
// certificates that cannot be read.
func Check(c *config.Config) error {
	var errs config.Errors
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		t := c.Pools[name].Template
		if t == nil {
			continue
		}
		errs = append(errs, checkQueries("pools."+name, c.Pools[name], c.Metrics)...)
		if err := process.Check(templateOf(t)); err != nil {
			errs = append(errs, config.Error{Path: "pools." + name + ".template", Message: err.Error()})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Pools)) {
		if _, err := targetTLS(c.Pools[name]); err != nil {
			errs = append(errs, config.Error{Path: "pools." + name + ".tls", Message: err.Error()})
		}
	}
	if c.Admin.TLS.Cert != "" {
		if _, err := certs.Open(adminCerts(c.Admin.TLS)); err != nil {
			errs = append(errs, config.Error{Path: "admin.tls", Message: err.Error()})
		}
	}
	for i, l := range c.Listen {
		at := fmt.Sprintf("listen[%d].", i)
		if _, err := route.New(routesOf(l)); err != nil {
			errs = append(errs, config.Error{Path: at + "routes", Message: err.Error()})
		}
		for j, r := range l.Routes {
			if _, err := compile(r); err != nil {
				errs = append(errs, config.Error{Path: fmt.Sprintf("%sroutes[%d]", at, j), Message: err.Error()})
			}
		}
		if err := checkTLS(l); err != nil {
			errs = append(errs, config.Error{Path: at + "tls", Message: err.Error()})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func poolOptions(c *config.Pool, wake func()) pool.Options {
	order, _ := admit.ParseOrder(c.Queue.Order) // config knows the same ones
	o := pool.Options{
		Balance:    c.Balance,
		Limits:     admit.Limits{Queue: c.Queue.Limit, Timeout: time.Duration(c.Queue.Timeout)},
		Order:      order,
		Retries:    admit.Budget{Percent: c.Retries.BudgetPercent, Min: c.Retries.Min},
		SlowStart:  time.Duration(c.SlowStart),
		StickyWait: -1, // none, where 0 would be without end
		MaxWait:    time.Duration(c.Queue.MaxWait),
		Drain:      time.Duration(c.Drain),
		FailOpen:   c.FailOpen,
		Elastic:    c.Template != nil,
		Wake:       wake,
	}
	if c.Retries.Min == 0 {
		o.Retries.Min = -1 // none, where 0 would be the default
	}
	if s := c.Sticky; s != nil && s.Wait > 0 {
		o.StickyWait = time.Duration(s.Wait)
	}
	if u := c.Utilization; u != nil {
		o.Balancing.MaxAge = time.Duration(u.MaxAge)
	}
	if x := c.Affinity; x != nil {
		o.Balancing.SwitchCost, o.Balancing.Loaded = time.Duration(x.SwitchCost), x.Keeps
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
		Expect: expectOf(h.Expect), Rule: health.Rule{Healthy: h.Healthy, Unhealthy: h.Unhealthy}, Named: namedChecks(h),
	}, true
}

func expectOf(e config.Expect) probe.Expect {
	return probe.Expect{Status: e.Status, JSON: e.JSON, Body: e.Body}
}

// slotsFor is how many requests a fixed target may work on at a time.
func slotsFor(c *config.Pool, t config.Target) int {
	if t.Slots > 0 {
		return t.Slots
	}
	return c.Concurrency
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
