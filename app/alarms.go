package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/alarm"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
	"github.com/weirlb/weir/measure"
	"github.com/weirlb/weir/scale"
)

// sound begins to watch the alarms of a config, until the tenure ends.
func (a *App) sound(t *tenure, c *config.Config) {
	var err error
	read := func(one *control.Alarm, now time.Time) (float64, bool) { return a.reading(t, one, now) }
	if t.alarms, err = control.NewAlarms(t.db, read, a.alarmed, a.log); err != nil {
		a.log.Error("alarms are not watched", "error", err)
		t.alarms = nil
		return
	}
	t.setAlarms(c, nil)
	t.works.Go(func() { t.alarms.Run(t.ctx) })
}

// setAlarms makes the alarms of a config those that are watched; before is the config until now, or nil.
func (t *tenure) setAlarms(c, before *config.Config) {
	if t.alarms == nil {
		return
	}
	if before != nil {
		for name := range before.Alarms {
			if c.Alarms[name] == nil {
				t.asker.Watch(asksFor(name), nil)
			}
		}
	}
	var list []control.Alarm
	for name, one := range c.Alarms {
		list = append(list, alarmOf(name, one))
		var qs []measure.Query
		if one.Query != "" {
			qs = append(qs, measure.Query{Text: one.Query})
		}
		t.asker.Watch(asksFor(name), qs)
	}
	t.alarms.Configure(list)
}

// asksFor is the name under which an alarm asks its query. No pool is called so.
func asksFor(name string) string { return "alarm " + name }

func alarmOf(name string, c *config.Alarm) control.Alarm {
	a := control.Alarm{
		Name: name, Pool: c.Pool, Metric: c.Metric, Query: c.Query,
		Rule:   alarm.Rule{Comparison: alarm.Comparison(c.Comparison), Points: c.Points, Breach: c.Breach, Missing: alarm.Treatment(c.Missing)},
		Period: time.Duration(c.Period), Statistic: alarm.Statistic(c.Statistic),
	}
	if c.Threshold != nil {
		a.Rule.Threshold = *c.Threshold
	}
	if c.Rule != "" {
		a.Over, _ = alarm.ParseComposite(c.Rule) // the config has found it to be right
	}
	for _, one := range c.Actions {
		action := control.AlarmAction{Command: one.Exec, Timeout: time.Duration(one.Timeout)}
		if one.Webhook != nil {
			action.URL, action.Headers = one.Webhook.URL, one.Webhook.Headers
		}
		if one.Retries != nil {
			action.Retries = *one.Retries
		}
		for _, state := range one.On {
			action.On = append(action.On, alarm.State(strings.ToUpper(state)))
		}
		a.Actions = append(a.Actions, action)
	}
	return a
}

// reading is what an alarm watches, now.
func (a *App) reading(t *tenure, one *control.Alarm, now time.Time) (float64, bool) {
	if one.Query != "" {
		answers := map[string]float64{}
		t.asker.Into(answers, asksFor(one.Name), now)
		v, known := answers[measure.QueryPrefix+one.Query]
		return v, known
	}
	a.mu.Lock()
	lp := a.pools[one.Pool]
	a.mu.Unlock()
	if lp == nil {
		return 0, false
	}
	return a.poolMetric(lp, one.Metric, now)
}

// poolMetric is a metric of a pool, or else the average of those of its instances and targets that report it.
func (a *App) poolMetric(lp *livePool, name string, now time.Time) (float64, bool) {
	load := lp.pool.Load(now)
	switch name {
	case scale.QueueDepth:
		return float64(load.Waiting), true
	case scale.InFlight:
		return float64(load.InFlight), true
	case scale.RequestsPerSecond:
		return load.Rate, true
	case scale.ArrivalTrend:
		return load.Trend, true
	case scale.OldestWait:
		return load.OldestWait.Seconds(), true
	case scale.IdleSeconds:
		return load.Idle.Seconds(), true
	}
	var sum float64
	var n int
	add := func(id string) {
		if v, ok := a.samples.Of(id, now, nil)[name]; ok {
			sum += v
			n++
		}
	}
	if s := lp.scaled.Load(); s != nil {
		for _, v := range s.fleet.Instances(now) {
			if v.State == fleet.Ready {
				add(v.ID)
			}
		}
	} else {
		for _, t := range lp.pool.Stats(now).Targets {
			add(t.Target.ID)
		}
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}

// alarmed tells the page of an alarm's change of state.
func (a *App) alarmed(c control.AlarmChange) {
	a.web.Publish(admin.Event{
		Type: admin.EventAlarm, Time: c.Time, Pool: c.Pool, Subject: c.Alarm,
		Text: fmt.Sprintf("alarm %s is %s, was %s: %s", c.Alarm, c.State, c.Previous, c.Reason), Data: c,
	})
}

// alarms is what GET /v1/alarms shows.
func (a *App) alarms() any {
	a.mu.Lock()
	as := a.tenure.alarms
	a.mu.Unlock()
	list := []control.AlarmStatus{}
	if as != nil {
		list = as.Status()
	}
	return map[string]any{"alarms": list}
}
