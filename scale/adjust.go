package scale

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weirlb/weir/alarm"
)

// AdjustmentType is what the number of an adjustment means.
type AdjustmentType string

// The adjustment types of an Auto Scaling group. The zero AdjustmentType is ChangeInCapacity.
const (
	ChangeInCapacity        AdjustmentType = "change_in_capacity"
	ExactCapacity           AdjustmentType = "exact_capacity"
	PercentChangeInCapacity AdjustmentType = "percent_change_in_capacity"
)

// Adjustment is how a step or simple policy changes the capacity.
type Adjustment struct {
	Type AdjustmentType
	By   float64 // instances, or percent of the capacity
	Min  int     // of a percentage that changes anything: at least this many instances; 0 sets no minimum
}

// change returns by how many instances the adjustment changes base, rounded as an Auto Scaling group does: a percentage of more than one
// instance down, of less than one up to one, and the same for those taken away.
func (a Adjustment) change(base int) int {
	switch a.Type {
	case ExactCapacity:
		return int(a.By) - base
	case PercentChangeInCapacity:
		exact := float64(base) * a.By / 100
		n := int(math.Trunc(exact * (1 + 1e-12)))
		switch {
		case exact > 0 && exact < 1:
			n = 1
		case exact < 0 && exact > -1:
			n = -1
		}
		switch {
		case a.By > 0 && n < a.Min:
			n = a.Min
		case a.By < 0 && -n < a.Min:
			n = -a.Min
		}
		return n
	}
	return int(a.By)
}

// explain writes the arithmetic of change.
func (a Adjustment) explain(w words, base int) words {
	switch a.Type {
	case ExactCapacity:
		return w.text("exactly ").int(int(a.By))
	case PercentChangeInCapacity:
		w = w.int(base)
		if a.By < 0 {
			w = w.text(" - ").num(-a.By)
		} else {
			w = w.text(" + ").num(a.By)
		}
		w = w.text(" % (").num(float64(base) * a.By / 100).text(", so ").int(a.change(base))
		return w.text(") = ").int(base + a.change(base))
	}
	w = w.int(base)
	if a.By < 0 {
		w = w.text(" - ").num(-a.By)
	} else {
		w = w.text(" + ").num(a.By)
	}
	return w.text(" = ").int(base + a.change(base))
}

// Step is one step of a Step policy: what to do when the metric lies between its bounds, which are offsets from the threshold. Above the
// threshold a metric at Lower is in the step and one at Upper is not; below it is the other way round.
type Step struct {
	Lower, Upper *float64 // nil: without end
	By           float64  // as in Adjustment
}

// holds reports whether an offset from the threshold lies in the step.
func (s Step) holds(offset float64) bool {
	low, high := math.Inf(-1), math.Inf(1)
	if s.Lower != nil {
		low = *s.Lower
	}
	if s.Upper != nil {
		high = *s.Upper
	}
	if low >= 0 || high > 0 && offset >= 0 {
		return offset >= low && offset < high
	}
	return offset > low && offset <= high
}

func (s Step) ends() (low, high float64) {
	low, high = math.Inf(-1), math.Inf(1)
	if s.Lower != nil {
		low = *s.Lower
	}
	if s.Upper != nil {
		high = *s.Upper
	}
	return low, high
}

// CheckSteps says what is wrong with a list of steps: they may not overlap nor leave a gap, at most one is open at each end, and what reaches
// beyond the threshold on one side must be open there. The error tells which step, from 0, and what to write.
func CheckSteps(steps []Step) (at int, err error) {
	if len(steps) == 0 {
		return 0, errors.New("there is no step; write for example {lower: 0, adjustment: 1}")
	}
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, _ := steps[a].ends()
		y, _ := steps[b].ends()
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	last := math.Inf(-1)
	for n, i := range order {
		low, high := steps[i].ends()
		switch {
		case math.IsInf(low, -1) && math.IsInf(high, 1):
			return i, errors.New("is open at both ends; write lower: 0 for a step above the threshold, or upper: 0 for one below it")
		case low >= high:
			return i, fmt.Errorf("begins at %g and ends at %g; lower must be less than upper", low, high)
		case n > 0 && math.IsInf(low, -1):
			return i, errors.New("is a second step without lower; only the lowest may be open there")
		case n > 0 && math.IsInf(last, 1):
			return i, errors.New("overlaps one without upper; only the highest step may be open there")
		case n > 0 && low < last:
			return i, fmt.Errorf("begins at %g, where another ends at %g: they overlap; write lower: %g", low, last, last)
		case n > 0 && low > last:
			return i, fmt.Errorf("begins at %g, and the one below it ends at %g: what lies between has no step; write lower: %g", low, last, last)
		}
		last = high
	}
	lowest, _ := steps[order[0]].ends()
	_, highest := steps[order[len(order)-1]].ends()
	switch {
	case lowest < 0 && !math.IsInf(lowest, -1):
		return order[0], fmt.Errorf("begins at %g, and nothing says what to do below; leave its lower out", lowest)
	case highest > 0 && !math.IsInf(highest, 1):
		return order[len(order)-1], fmt.Errorf("ends at %g, and nothing says what to do above; leave its upper out", highest)
	case lowest > 0:
		return order[0], fmt.Errorf("begins at %g above the threshold, and what lies between has no step; write lower: 0", lowest)
	case highest < 0:
		return order[len(order)-1], fmt.Errorf("ends at %g below the threshold, and what lies between has no step; write upper: 0", highest)
	}
	return -1, nil
}

// Signal is what a policy with alarms watches: a metric of the pool or of its instances, in points of one period each.
type Signal struct {
	Metric    string // a name, or "query:" and a PromQL query
	Statistic alarm.Statistic
	Period    time.Duration // 0 is a minute
}

func (s Signal) period() time.Duration {
	if s.Period <= 0 {
		return time.Minute
	}
	return s.Period
}

// read gives the signal's value now: the pool's metric of that name, or else the average of the ready instances that report it. Instances
// that became ready less than warmUp ago do not count.
func (s Signal) read(obs *Observation, warmUp time.Duration) (float64, bool) {
	if v, known := obs.metric(s.Metric); known {
		return v, true
	}
	sum, n := 0.0, 0
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if v, ok := in.Metrics[s.Metric]; ok && in.ready() && !in.fresh(obs.Time, warmUp) && v >= 0 && v < 1e18 {
			sum += v
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}

// fresh reports whether a ready instance still counts as warming.
func (in *Instance) fresh(now time.Time, warmUp time.Duration) bool {
	return warmUp > 0 && !in.Ready.IsZero() && now.Sub(in.Ready) < warmUp
}

// warmingUp counts the instances that are capacity already and not measured yet.
func (obs *Observation) warmingUp(warmUp time.Duration) (n int) {
	for i := range obs.Instances {
		if in := &obs.Instances[i]; in.coming() || in.ready() && in.fresh(obs.Time, warmUp) {
			n++
		}
	}
	return n
}

// watch is an alarm inside a policy: it turns what is observed into points and those into a state.
type watch struct {
	rule   alarm.Rule
	series alarm.Series
	state  alarm.State
}

// watchState is what a watch carries over.
type watchState struct {
	Series alarm.SeriesState `json:"series"`
	State  alarm.State       `json:"state,omitempty"`
}

func newWatch(s Signal, r alarm.Rule) watch {
	return watch{rule: r, series: alarm.Series{Period: s.period(), Statistic: s.Statistic, Keep: r.Range()}}
}

// sample takes what was measured and reports whether a period ended with it, in which case the state is new.
func (w *watch) sample(now time.Time, v float64, known bool) (ended bool) {
	if w.series.Add(now, v, known) {
		w.state = w.rule.Evaluate(w.series.Points, w.state)
		return true
	}
	return false
}

func (w *watch) save() watchState { return watchState{w.series.SeriesState.Clone(), w.state} }

func (w *watch) restore(s watchState) { w.series.SeriesState, w.state = s.Series, s.State }
