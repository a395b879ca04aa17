package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/weirlb/weir/bench/internal/load"
)

// apart are the ways to measure that are more than one run of the load.
var apart = map[string]func(e *env, ctx context.Context, c candidate, s scenario) (load.Result, verdict, error){
	onTwoCores:     (*env).twoCores,
	whileReloading: (*env).reloads,
}

// twoCores measures the candidate on one core and right after on two, saturated. Where the machine has no more than two cores, load and target share
// the second one, so that requests per second say how fast all of them together are; what the proxy itself can do is
// taken from its CPU time per request: two cores that spend w2 on each can answer 2/w2, one that spends w1 1/w1.
func (e *env) twoCores(ctx context.Context, c candidate, s scenario) (load.Result, verdict, error) {
	one, v, err := e.once(ctx, c, s, []int{e.proxyCore})
	if err != nil || v.reason != "" && !(v.noise && e.keepNoisy) {
		return one, v, err
	}
	two, v2, err := e.once(ctx, c, s, []int{e.proxyCore, e.secondCore})
	if v.reason == "" || v2.final {
		v = v2
	}
	if err != nil || two.Units == 0 {
		return two, v, err
	}
	two.Extra = map[string]float64{
		"one_core_us":  one.PerUnit(),
		"two_cores_us": two.PerUnit(),
		"two_over_one": 2 * one.PerUnit() / two.PerUnit(),
		"rate_ratio":   float64(two.Units) / two.Elapsed.Seconds() / (float64(one.Units) / one.Elapsed.Seconds()),
	}
	return two, v, nil
}

// reloads measures how long `weir reload` takes with a pool of manyTargets targets, from the command's start to its end: with nothing changed, with
// one target in a hundred replaced, and with all of them; each while another pool answers requests, none of which may fail.
func (e *env) reloads(ctx context.Context, c candidate, s scenario) (load.Result, verdict, error) {
	proxy, err := c.launch(ctx, e, []int{e.proxyCore}, manyTargets)
	if err != nil {
		return load.Result{}, verdict{reason: err.Error(), final: true}, ctx.Err()
	}
	defer proxy.Stop()
	took := make(map[string]float64)
	reloading := make(chan error, 1)
	go func() { reloading <- e.reloadEach(ctx, c, proxy, took) }()
	result, v, err := e.drive(ctx, proxy, s, proxy.site.Port, []int{e.proxyCore})
	if failed := <-reloading; failed != nil && err == nil {
		return result, verdict{reason: failed.Error(), final: true}, ctx.Err()
	}
	if v.noise {
		v = verdict{} // the commands themselves are what others on the core there are
	}
	result.Extra = took
	return result, v, err
}

// reloadEach reloads the proxy in each of the ways, spread over the time that is counted.
func (e *env) reloadEach(ctx context.Context, c candidate, proxy *running, took map[string]float64) error {
	some := addresses(0, manyTargets)
	for i := 0; i < len(some); i += 100 {
		some[i] = addresses(manyTargets+i, 1)[0]
	}
	for _, way := range []struct {
		key  string
		many []string
	}{
		{"reload_same_ms", proxy.site.Many},
		{"reload_some_ms", some},
		{"reload_all_ms", addresses(2*manyTargets, manyTargets)},
	} {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After((e.warmUp + e.count) / 5):
		}
		proxy.site.Many = way.many
		if _, err := writeConfig(c.config, proxy.site); err != nil {
			return err
		}
		began := time.Now()
		out, err := exec.CommandContext(ctx, e.programs[c.name], "reload", "--admin", fmt.Sprintf("127.0.0.1:%d", proxy.site.Admin)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("weir reload: %w: %s", err, bytes.TrimSpace(out))
		}
		took[way.key] = time.Since(began).Seconds() * 1000
	}
	return nil
}

// addresses are n addresses of this machine, all different, from the given one on: 127.0.1.0, 127.0.1.1 and so on. Nothing listens there.
func addresses(from, n int) []string {
	list := make([]string, n)
	for i := range list {
		k := from + i + 256
		list[i] = fmt.Sprintf("127.%d.%d.%d:9", k>>16&255, k>>8&255, k&255)
	}
	return list
}
