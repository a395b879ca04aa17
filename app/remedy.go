package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/health"
	"github.com/weirlb/weir/telemetry"
)

// remediesOf are what a pool does for instances that fail checks.
func (a *App) remediesOf(t *tenure, name string, c *config.Pool) control.Remedies {
	r := control.Remedies{}
	if c.Health == nil || len(c.Health.OnFailure) == 0 {
		return r
	}
	r.PerHour = c.Health.RemediesPerHour
	r.Rules, r.Patience = map[string]health.Remedy{}, map[string]time.Duration{}
	rules := c.Health.OnFailure
	for check, one := range rules {
		r.Rules[check], r.Patience[check] = health.Remedy(one.Do), time.Duration(one.Timeout)
	}
	r.Reload = func(instance, addr, check string) {
		t.works.Go(func() {
			ctx, cancel := context.WithTimeout(t.ctx, time.Duration(rules[check].Timeout))
			defer cancel()
			if err := a.reloadInstance(ctx, rules[check], name, instance, addr, check); err != nil && t.ctx.Err() == nil {
				a.log.Warn("an instance could not be told to load again; it is replaced if its check goes on failing", "pool", name, "instance", instance, "check", check, "error", err)
			}
		})
	}
	return r
}

// reloadInstance tells an instance to load again.
func (a *App) reloadInstance(ctx context.Context, r config.Remedy, pool, instance, addr, check string) error {
	if len(r.Exec) > 0 {
		env := append(a.hookEnv(), "WEIR_POOL="+pool, "WEIR_INSTANCE="+instance, "WEIR_ADDRESS="+addr, "WEIR_CHECK="+check)
		return fleet.RunProgram(ctx, r.Exec, env, nil)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+addr+r.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "weir")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", r.Method, r.Path, resp.Status, strings.ToValidUTF8(string(text), "?"))
	}
	return nil
}

// remedied tells the page of a remedy that begins.
func (a *App) remedied(pool, instance string, t control.Treatment) {
	a.web.Publish(admin.Event{Type: admin.EventRemedy, Time: t.Since, Pool: pool, Subject: instance, Text: t.Why, Data: t})
}

// namedChecks are the fields of an answer that have a remedy, with what they must be.
func namedChecks(h *config.Health) map[string]any {
	if len(h.OnFailure) == 0 {
		return nil
	}
	named := map[string]any{}
	for name := range h.OnFailure {
		named[name] = true
		if want, ok := h.Expect.JSON[name]; ok {
			named[name] = want
		}
	}
	return named
}

func remedyCounts(l *control.Loop) (out []telemetry.RemedyCount) {
	for _, c := range l.RemedyCounts() {
		out = append(out, telemetry.RemedyCount{Check: c.Check, Remedy: string(c.Remedy), N: c.N})
	}
	return out
}
