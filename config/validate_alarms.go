package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/weirlb/weir/alarm"
)

func (v checker) alarms(cfg *Config) {
	for _, name := range names(cfg.Alarms) {
		v.alarm(child("alarms", name), name, cfg.Alarms[name], cfg)
	}
	v.alarmCircles(cfg.Alarms)
	for pool, p := range cfg.Pools {
		if p.Scale == nil {
			continue
		}
		for i, one := range p.Scale.Policies {
			at := item(child(child(child("pools", pool), "scale"), "policies"), i)
			if one.Step != nil {
				v.policyAlarm(child(child(at, "step"), "alarm"), one.Step.Alarm, pool, cfg.Alarms)
			}
			if one.Simple != nil {
				v.policyAlarm(child(child(at, "simple"), "alarm"), one.Simple.Alarm, pool, cfg.Alarms)
			}
		}
	}
}

// policyAlarm checks the alarm that a policy names.
func (v checker) policyAlarm(path, name, pool string, alarms map[string]*Alarm) {
	if name == "" {
		return
	}
	switch a := alarms[name]; {
	case a == nil:
		v.fail(path, "there is no alarm %q; %s", shorten(name), didYouMean(name, names(alarms)))
	case a.Rule != "":
		v.fail(path, "alarm %q is a rule over others, which has no metric to scale by; name one that has", name)
	case a.Pool != "" && a.Pool != pool:
		v.fail(path, "alarm %q watches pool %s; name one of this pool, or one with a query and without a pool", name, a.Pool)
	}
}

func (v checker) alarm(path, name string, a *Alarm, cfg *Config) {
	if !isName(name) || len(name) > 255 {
		v.fail(path, "%q cannot name an alarm; use letters, digits, \"-\" or \"_\"", shorten(name))
	}
	if v.failed(path) {
		return
	}
	if v.has(child(path, "rule")) {
		v.rule(path, a, cfg.Alarms)
	} else {
		v.source(path, a.Metric, "metric: oldest_wait, or rule: \"ALARM(a) AND ALARM(b)\" over others")
		if a.Threshold == nil && !v.failed(path) && !v.failed(child(path, "threshold")) {
			v.fail(path, "has no \"threshold\"; add it, as in threshold: 2")
		}
		v.points(path, a.Period, a.Points, a.Breach)
		if a.Metric != "" && a.Pool == "" && !v.failed(path) {
			v.fail(path, "has no \"pool\"; say whose metric %q is, as in pool: %s", a.Metric, append(names(cfg.Pools), "api")[0])
		}
	}
	if at := child(path, "pool"); a.Pool != "" && cfg.Pools[a.Pool] == nil {
		v.fail(at, "there is no pool %q; %s", shorten(a.Pool), didYouMean(a.Pool, names(cfg.Pools)))
	}
	for i, action := range a.Actions {
		v.alarmAction(item(child(path, "actions"), i), action)
	}
}

func (v checker) rule(path string, a *Alarm, alarms map[string]*Alarm) {
	for _, key := range []string{"metric", "query", "threshold", "comparison", "statistic", "period", "points", "breach", "missing"} {
		if at := child(path, key); v.has(at) {
			v.fail(at, "belongs to an alarm of its own; remove it beside rule")
		}
	}
	at := child(path, "rule")
	c, err := alarm.ParseComposite(a.Rule)
	if err != nil {
		v.fail(at, "the rule %v", err)
		return
	}
	for _, name := range c.Names() {
		if alarms[name] == nil {
			v.fail(at, "there is no alarm %q; %s", shorten(name), didYouMean(name, names(alarms)))
		}
	}
}

// alarmCircles refuses rules that lead back to themselves.
func (v checker) alarmCircles(alarms map[string]*Alarm) {
	for _, name := range names(alarms) {
		if trail := circle(alarms, name, nil); trail != nil {
			v.fail(child(child("alarms", name), "rule"), "leads back to itself: %s; take one of them out", strings.Join(trail, " -> "))
			return // once for all on the circle
		}
	}
}

// circle follows rules from the last of trail and returns a way back to its beginning.
func circle(alarms map[string]*Alarm, name string, trail []string) []string {
	if len(trail) > 0 && trail[0] == name {
		return append(trail, name)
	}
	if slices.Contains(trail, name) || alarms[name] == nil {
		return nil
	}
	c, err := alarm.ParseComposite(alarms[name].Rule)
	if err != nil {
		return nil
	}
	for _, next := range c.Names() {
		if found := circle(alarms, next, append(trail, name)); found != nil {
			return found
		}
	}
	return nil
}

func (v checker) alarmAction(path string, a AlarmAction) {
	webhook, exec := child(path, "webhook"), child(path, "exec")
	switch {
	case v.has(webhook) && v.has(exec):
		v.fail(path, "has both webhook and exec; write each as an item of its own")
	case !v.has(webhook) && !v.has(exec) && v.has(path) && !v.failed(path) && !v.failedBelow(path):
		v.fail(path, "does nothing; write webhook: {url: \"http://127.0.0.1:9000/alarm\"} or exec: [./page-me]")
	}
	v.positive(child(path, "timeout"), int64(a.Timeout), "10s")
	if w := a.Webhook; w != nil {
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			v.fail(child(webhook, "url"), "%q is not a URL to send to; write one such as \"https://example.com/alarm\"", shorten(w.URL))
		}
		v.headers(child(webhook, "headers"), w.Headers)
	}
	if len(a.Exec) > 0 && a.Exec[0] == "" {
		v.fail(item(exec, 0), "is empty; write the program to run")
	}
}
