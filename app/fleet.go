package app

import (
	"context"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/probe"
)

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

func backoffOf(t *config.Template) fleet.Backoff {
	return fleet.Backoff{Initial: time.Duration(t.Backoff.Initial), Max: time.Duration(t.Backoff.Max)}
}

func (a *App) fleetOptions(lp *livePool, c *config.Pool) fleet.Options {
	t := c.Template
	ready, _ := readiness(c)
	o := fleet.Options{
		Template: templateOf(t), Slots: c.Concurrency, Drain: time.Duration(c.Drain),
		StartTimeout: time.Duration(t.StartTimeout), StopTimeout: time.Duration(t.StopTimeout),
		Backoff: backoffOf(t),
		Rest:    restOf(c.WarmPool),
		Protect: c.Scale != nil && c.Scale.Protect,
		Hooks:   hooksOf(c), HookEnv: a.hookEnv(),
		MarketFile: marketOf(c),
		Join:       lp.join, Leave: lp.leave, Elsewhere: a.leaving.inFlight,
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
