package planner

import (
	"fmt"
	"strings"
	"time"

	"github.com/weirlb/weir/config"
)

// YAML is a plan as a config, each choice with its reason.
func YAML(q *Question, f *Facts, p *Plan) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	t := &f.Type
	night := fmt.Sprintf("The night's load, %.0f %% of the day's,", 100*nightShare)
	if r := q.seen; r != nil {
		say("# Planned for what was recorded, and %.0f a month. %s.", q.Budget, strings.ReplaceAll(r.About, "\n", "\n# "))
		say("# Of its stretches of five minutes 95 of 100 have at most %.4g requests at the same time, and there were never more than %.4g; a request takes %v on average, at most %v.",
			r.Usual, r.Highest, r.Mean.Round(time.Millisecond), r.High.Round(time.Millisecond))
		night = fmt.Sprintf("What the quietest stretches have, %.3g requests at the same time,", r.Night)
	} else {
		say("# Planned for %s users at the same time at the highest of a spike of %gx, requests of %v to %v, and %.0f a month.", count(q.Users), q.Spike, q.Low, q.High, q.Budget)
		say("# A usual day's highest is %.4g requests at the same time: %.4g a second of %v on average (Little's law).", f.Base, f.Rate, f.Mean)
	}
	if p.InSpike.Served < 0.995 {
		say("# What the money does not buy is refused: first what is least important, as X-Priority says (0 is usual, -1 and less can wait, 1 and more comes first).")
		say(`listen: [{address: ":8080", routes: [{pool: api, priority: {header: X-Priority, max: 4}}]}]`)
	} else {
		say(`listen: [{address: ":8080", routes: [{pool: api}]}]`)
	}
	say("pools:")
	say("  api:")
	say("    # %s, %d at a time: the cheapest for a request.", t.Name, t.Slots)
	say("    concurrency: %d", t.Slots)
	if t.Slots == 1 {
		say("    # Nobody shares a machine, so a request goes to any that is free; the rest waits in one queue.")
	} else {
		say("    # A request goes where the fewest run; what finds no slot waits in one queue.")
	}
	say("    balance: least_connections")
	say("    # %d: what %d instances work off in the %v that users wait. More would only wait to be told no.", p.QueueLimit, p.Max, q.Patience)
	say("    queue: {limit: %d, timeout: %v}", p.QueueLimit, seconds(q.Patience))
	say("    # The longest request, and as much again, and half a minute at least: nothing in flight is cut by a scale-in or a deploy.")
	say("    drain: %v", seconds(max(2*q.High, leastDrain)))
	say("    health: {path: /health/ready}")
	patience := ""
	if most := 2 * t.Boot; most > time.Duration(config.DefaultTemplate().StartTimeout) {
		say("    # A boot takes %v; one that takes twice as long has failed.", t.Boot)
		patience = fmt.Sprintf(", start_timeout: %v", seconds(most))
	}
	say(`    template: {command: [./serve, --port, "{{.Port}}"]%s} # yours`, patience)
	warmPool(say, f, p)
	say("    scale:")
	say("      # %s needs %s, the day's highest %d.", night, instances(f.Night), f.Usual)
	if p.Min == 0 {
		say("      # None while nobody asks; the first request is held while one boots, %v.", t.Boot)
	}
	say("      min: %d", p.Min)
	switch {
	case p.Max < f.Peak && q.seen != nil:
		say("      # At its busiest there would be use for %d; the budget pays for %d.", f.Peak, p.Max)
	case p.Max < f.Peak:
		say("      # A spike would need %d; the budget pays for %d in its hours.", f.Peak, p.Max)
	default:
		say("      # What a spike needs.")
	}
	say("      max: %d", p.Max)
	say("      # Two boots: an instance that is ended is not missed a moment later.")
	say("      scale_in_window: %v", seconds(max(time.Duration(float64(time.Minute)/max(q.pace, 1)), 2*t.Boot)))
	say("      policies:")
	say("        # 95 of 100 wait no longer, with the fewest instances; it launches within a second of a queue.")
	say("        - queue: {wait_p95: %v}", seconds(q.Wait))
	if p.DayMin > 0 {
		r := q.seen
		say("        # The hour of the day explains %.0f %% of how the load changes: from %d to %d o'clock it is %.3g requests at the same time on nine days of ten.",
			100*r.rhythm.Strength, p.DayFrom, p.DayTo, r.rhythm.Load)
		lead := (t.Boot + 2*time.Minute).Truncate(time.Minute) // whole minutes, and one at least
		say("        # They begin to boot %v earlier.", lead)
		begin := time.Date(2000, 1, 1, p.DayFrom, 0, 0, 0, time.UTC).Add(-lead)
		say("        - schedule: {name: day, cron: \"%d %d * * *\", timezone: %s, min: %d}", begin.Minute(), begin.Hour(), zoneOf(r.Start), p.DayMin)
		say("        - schedule: {name: night, cron: \"0 %d * * *\", timezone: %s, min: %d}", p.DayTo, zoneOf(r.Start), p.Min)
	}
	say("        # Learns the day and the week, and launches ahead of them once it does better than reacting.")
	say("        - predict: {}")
	say("      cost:")
	switch {
	case p.OnDemandPercent == 100:
		say("        # All on demand: nothing is taken back.")
	case p.OnDemandBase > 0:
		say("        # The night's load is on demand, and of the rest %d %%: that is never taken back.", p.OnDemandPercent)
	default:
		say("        # All on spot: all of it may be taken back, with two minutes' notice.")
	}
	if m := p.Market; m != (Market{}) {
		say("        # On the recorded markets %d were taken back, %d launches refused, and %d requests cut; %.0f %% of the hours were spot. On demand the same comes to %.0f a month.",
			m.TakenBack, m.Refused, m.Cut, 100*m.Share, m.OnDemand)
	}
	say("        on_demand_base: %d", p.OnDemandBase)
	say("        on_demand_percent: %d", p.OnDemandPercent)
	if p.OnDemandPercent < 100 {
		say("        # Where spot is the least likely to be taken back of what is cheap.")
		say("        allocation: price_capacity_optimized")
	}
	if zones := q.zones(); len(zones) > 0 {
		say("        zones: [%s]", strings.Join(zones, ", "))
	}
	say("        types:")
	for _, one := range q.Types {
		if one.Slots == t.Slots {
			say("          - {name: %q, on_demand: %g, spot: %g}", one.Name, one.OnDemand, one.Spot)
		}
	}
	say("        # What max costs in an hour: held, whatever comes. What would then wait longer than users do is refused, the least important first.")
	if p.Fits {
		say("        # A budget per month is spread evenly over it, %.4g an hour, and would not let a spike have what it was saved for; so it is an alarm.", f.PerHour)
		say("        budget: {per_hour: %g, shed_after: %v}", p.PerHour, seconds(q.Patience))
	} else {
		say("        # And no more than %g in a month, which is less than this comes to: what is left of it is spread over the hours left.", q.Budget)
		say("        budget: {per_hour: %g, per_month: %g, shed_after: %v}", p.PerHour, q.Budget, seconds(q.Patience))
	}
	say("alarms:")
	say("  # Users wait longer than promised, three minutes of five.")
	say("  long-wait: {pool: api, metric: oldest_wait, comparison: above, threshold: %g, points: 5, breach: 3, missing: not_breaching}", q.Wait.Seconds())
	say("  # The month has cost what it may.")
	say(`  month: {query: 'weir_cost_month{pool="api"}', comparison: at_least, threshold: %g, points: 1}`, q.Budget)
	say("  # There is nothing left to launch.")
	say(`  at-max: {query: 'weir_desired_instances{pool="api"}', comparison: at_least, threshold: %d, points: 5}`, p.Max)
	return b.String()
}

// warmPool writes the warm pool of a plan, or why it has none.
func warmPool(say func(string, ...any), f *Facts, p *Plan) {
	found := func(o Outcome) string {
		return fmt.Sprintf("%.0f %% of a spike is served, 95 of 100 within %.3g s", 100*o.Served, o.WaitP95.Seconds())
	}
	t := f.Type
	switch {
	case p.Max <= f.Usual:
	case p.Warm > 0:
		say("    # What a spike needs more than a usual day is prepared, and stopped: it costs no machine, and wakes in %v where a boot takes %v.", t.Wake, t.Boot)
		if p.Tried != nil {
			say("    # So %s; without it %s.", found(p.InSpike), found(p.Tried.InSpike))
		}
		say("    warm_pool: {state: stopped, max_prepared: %d, reuse: true}", f.Usual+p.Warm)
	case p.Tried != nil:
		say("    # No warm pool: with %d more prepared, %s; without it %s.", p.Tried.Warm, found(p.Tried.InSpike), found(p.InSpike))
	case t.Wake == 0:
		say("    # No warm pool: nothing says that what is stopped wakes sooner than it boots (the column wake of --gpu-types does).")
	}
}

// zoneOf is the zone of a time as a config writes it.
func zoneOf(t time.Time) string {
	if name := t.Location().String(); name != "" && name != "Local" {
		return name
	}
	return "UTC"
}

// instances counts them.
func instances(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// leastDrain is time for an answer that was sent already to arrive with a slow client.
const leastDrain = 30 * time.Second

// seconds is a duration as a config writes it.
func seconds(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}

// count writes a number with its thousands apart.
func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
