package scale

import (
	"strings"
	"testing"
	"time"
)

// The values in this file are those of Kubernetes 1.37, pkg/controller/podautoscaler/horizontal_test.go.

// rules are the policies of one direction: pods within a period, percent within a period, and a window, in seconds.
func rules(pods, podsPeriod, percent, percentPeriod, window int) HPARules {
	r := HPARules{StabilizationWindow: new(time.Duration(window) * time.Second), SelectPolicy: "Max"}
	if pods != 0 {
		r.Policies = append(r.Policies, HPAScalingPolicy{"Pods", pods, time.Duration(podsPeriod) * time.Second})
	}
	if percent != 0 {
		r.Policies = append(r.Policies, HPAScalingPolicy{"Percent", percent, time.Duration(percentPeriod) * time.Second})
	}
	return r
}

// events lie in the middle of equal parts of the last seconds, oldest first.
func events(seconds float64, changes ...int) (list []Peak) {
	part := seconds / float64(len(changes))
	for i, n := range changes {
		ago := time.Duration(seconds-part*float64(i+1)+part/2) * time.Second // whole seconds, as there
		list = append(list, Peak{Time: epoch.Add(-ago), Desired: n})
	}
	return list
}

func behaving(t *testing.T, minimum, maximum int, b *HPABehavior) *HPA {
	t.Helper()
	h, err := NewHPA(HPAOptions{MinReplicas: &minimum, MaxReplicas: maximum, Behavior: b,
		Metrics: []HPAMetric{{Type: HPAExternal, Name: "m", TargetType: HPAValue, Value: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestHPARates is TestScalingWithRules. Where that test gives no rules, it is the defaults that apply.
func TestHPARates(t *testing.T) {
	const within, few, many, up, down = "", "not below minReplicas", "not above maxReplicas", "scaleUp allows", "scaleDown allows"
	none := HPARules{}
	for _, c := range []struct {
		name             string
		added, removed   []Peak
		min, max         int
		up, down         HPARules
		current, desired int
		want             int
		because          string
	}{
		{"within range", nil, nil, 3, 8, none, none, 5, 7, 7, within},
		{"below min", nil, nil, 2, 8, none, none, 3, 1, 2, few},
		{"zero with min 0", nil, nil, 0, 10, none, none, 1, 0, 0, within},
		{"above max while over max", nil, nil, 1, 10, none, none, 20, 1000, 10, many},
		{"above max", nil, nil, 100, 150, none, none, 100, 1000, 150, many},
		{"scale up limit", nil, nil, 1, 2000, rules(0, 0, 1, 60, 0), none, 3, 1000, 4, up},
		{"up by default", nil, nil, 1, 1000, none, none, 10, 50, 20, up},
		{"up, pods larger", nil, nil, 1, 1000, rules(100, 60, 100, 60, 0), none, 10, 500, 110, up},
		{"up, percent larger", nil, nil, 1, 1000, rules(2, 60, 100, 60, 0), none, 10, 500, 20, up},
		{"up, many pods", nil, nil, 1, 1000, rules(100, 60, 0, 0, 0), none, 10, 50, 50, within},
		{"up, very many pods", nil, nil, 1, 1000, rules(10000, 60, 0, 0, 0), none, 10, 50, 50, within},
		{"up, pods limit", nil, nil, 1, 1000, rules(30, 60, 0, 0, 0), none, 10, 50, 40, up},
		{"up, percent limit", nil, nil, 1, 1000, rules(0, 0, 200, 60, 0), none, 10, 50, 30, up},
		{"down, pods larger", nil, nil, 1, 1000, none, rules(20, 60, 1, 60, 300), 100, 2, 80, down},
		{"down, percent smaller", nil, nil, 1, 1000, none, rules(2, 60, 1, 60, 300), 100, 2, 98, down},
		{"down to min by pods", nil, nil, 1, 1000, none, rules(100, 60, 0, 0, 300), 10, 0, 1, few},
		{"down to min by percent", nil, nil, 5, 1000, none, rules(0, 0, 100, 60, 300), 10, 2, 5, few},
		{"down, pods limit", nil, nil, 1, 1000, none, rules(5, 60, 0, 0, 300), 10, 2, 5, down},
		{"down, percent limit", nil, nil, 1, 1000, none, rules(0, 0, 50, 60, 300), 10, 5, 5, within},
		{"up to max after events, pods", events(120, 1, 5, 9), nil, 1, 200, rules(300, 60, 0, 0, 0), none, 100, 500, 200, many},
		{"up to max after events, percent", events(120, 1, 5, 9), nil, 1, 200, rules(0, 0, 10000, 60, 0), none, 100, 500, 200, many},
		{"up, more than the rule was added", events(120, 1, 5, 9), nil, 1, 1000, rules(5, 120, 0, 0, 0), none, 100, 500, 100, up},
		{"up, pods after events", events(120, 1, 5, 9), nil, 1, 1000, rules(150, 120, 0, 0, 0), none, 100, 500, 235, up},
		{"up, percent after events", events(120, 1, 5, 9), nil, 1, 1000, rules(0, 0, 200, 120, 0), none, 100, 500, 255, up},
		{"up, percent after events both ways", events(120, 4), events(120, 2), 1, 1000, rules(0, 0, 300, 300, 0), none, 6, 24, 16, up},
		{"down by default after events", nil, events(120, 1, 5, 9), 1, 1000, none, none, 10, 5, 5, within},
		{"down to 1 after events, pods", nil, events(120, 1, 5, 9), 1, 1000, none, rules(115, 120, 0, 0, 300), 100, 0, 1, few},
		{"down to min after events, pods", nil, events(120, 1, 5, 9), 5, 1000, none, rules(130, 120, 0, 0, 300), 100, 0, 5, few},
		{"down to min after events, percent", nil, events(120, 1, 5, 9), 5, 1000, none, rules(0, 0, 100, 120, 300), 100, 2, 5, few},
		{"down, more than the rule was removed", nil, events(120, 1, 5, 9), 1, 1000, none, rules(5, 120, 0, 0, 300), 100, 2, 100, down},
		{"down, percent after events", nil, events(120, 2, 4, 6), 1, 1000, none, rules(0, 0, 50, 120, 300), 100, 0, 56, down},
		{"down, percent after events both ways", events(120, 2), events(120, 4), 1, 1000, none, rules(0, 0, 50, 180, 0), 10, 1, 6, down},
		{"down, events prevent more", nil, events(120, 10, 10, 10), 1, 1000, none, rules(0, 0, 10, 120, 300), 100, 0, 100, down},
		{"down, more than all", nil, events(120, 10, 10, 10), 1, 1000, none, rules(0, 0, 1000, 120, 300), 10, 5, 5, within},
		{"up, one policy", events(120, 8, 12, 9, 11), nil, 1, 1000, rules(1000, 60, 0, 0, 0), none, 100, 200, 200, within},
		{"up, two policies", events(120, 8, 12, 9, 11), nil, 1, 1000, rules(1000, 120, 100, 60, 0), none, 100, 200, 200, within},
		{"up, two short policies", events(120, 8, 12, 9, 11), nil, 1, 1000, rules(1000, 30, 100, 60, 0), none, 100, 200, 200, within},
		{"down, one policy", nil, events(120, 8, 12, 9, 11), 1, 1000, none, rules(1000, 60, 0, 0, 300), 100, 5, 5, within},
		{"down, two policies", nil, events(120, 8, 12, 9, 11), 1, 1000, none, rules(1000, 120, 100, 60, 300), 100, 5, 5, within},
		{"down, two short policies", nil, events(120, 8, 12, 9, 11), 1, 1000, none, rules(1000, 30, 100, 60, 300), 100, 5, 5, within},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := behaving(t, c.min, c.max, &HPABehavior{ScaleUp: c.up, ScaleDown: c.down})
			h.state.Up, h.state.Down = c.added, c.removed
			got, why := h.behave(epoch, c.current, c.desired, nil)
			if got != c.want || !strings.Contains(string(why), c.because) || c.because == within && len(why) > 0 {
				t.Errorf("from %d to %d: got %d %q, want %d %q", c.current, c.desired, got, why, c.want, c.because)
			}
		})
	}
}

// TestHPASelectPolicy is TestCalculateScaleUpLimitWithScalingRules and TestCalculateScaleDownLimitWithBehaviors, and the
// two other choices.
func TestHPASelectPolicy(t *testing.T) {
	for _, c := range []struct {
		choose   string
		up, down int // the limits from 1 and from 5, with 2 pods and 50 percent a minute
	}{
		{"Min", 2, 3},
		{"Max", 3, 2},
		{"Disabled", 1, 5},
	} {
		r := rules(2, 60, 50, 60, 300)
		r.SelectPolicy = c.choose
		h := behaving(t, 1, 100, &HPABehavior{ScaleUp: r, ScaleDown: r})
		if got := h.upLimit(epoch, 1); got != c.up {
			t.Errorf("%s: up from 1 to %d, want %d", c.choose, got, c.up)
		}
		if got := h.downLimit(epoch, 5); got != c.down {
			t.Errorf("%s: down from 5 to %d, want %d", c.choose, got, c.down)
		}
	}
}

// recommended were some capacities, minutes ago.
func recommended(pairs ...float64) (list []Peak) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, Peak{Time: epoch.Add(-time.Duration(pairs[i+1] * float64(time.Minute))), Desired: int(pairs[i])})
	}
	return list
}

// TestHPAStabilization is TestNormalizeDesiredReplicasWithBehavior.
func TestHPAStabilization(t *testing.T) {
	for _, c := range []struct {
		name             string
		before           []Peak
		current, desired int
		up, down         int // windows, seconds
		want             int
	}{
		{"nothing before", nil, 100, 5, 0, 0, 5},
		{"down", recommended(4, 2, 5, 1), 100, 3, 0, 180, 5},
		{"up", recommended(4, 2, 5, 1), 1, 7, 300, 0, 4},
		{"down, not by the up window", recommended(1, 2, 2, 1), 100, 3, 300, 0, 3},
		{"up, not by the down window", recommended(4, 2, 5, 1), 1, 3, 0, 300, 3},
		{"down, old ones do not count", recommended(10, 10, 9, 9), 100, 3, 0, 0, 3},
		{"up, old ones do not count", recommended(10, 10, 9, 9), 1, 100, 0, 0, 100},
		{"down, some are old", recommended(10, 10, 9, 9, 5, 2, 4, 1), 100, 3, 0, 180, 5},
		{"up, some are old", recommended(10, 100, 9, 3, 5, 2, 6, 1), 1, 100, 300, 0, 5},
		{"both, going down does not go up", recommended(2, 100, 3, 3), 2, 1, 300, 300, 2},
		{"both, going up does not go down", recommended(2, 100, 1, 3), 2, 3, 300, 300, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := behaving(t, 1, 1000, &HPABehavior{ScaleUp: rules(0, 0, 0, 0, c.up), ScaleDown: rules(0, 0, 0, 0, c.down)})
			h.state.Recommendations = c.before
			if got := h.stabilize(epoch, c.current, c.desired); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
			last := h.state.Recommendations[len(h.state.Recommendations)-1]
			if last.Desired != c.desired {
				t.Errorf("remembers %d, want %d as it was before stabilization", last.Desired, c.desired)
			}
		})
	}
}

// TestHPANormalize is TestNormalizeDesiredReplicas and TestConvertDesiredReplicasWithRules: no behavior is given.
func TestHPANormalize(t *testing.T) {
	for _, c := range []struct {
		name             string
		before           []Peak
		min, max         int
		current, desired int
		want             int
		because          string
	}{
		{"nothing before", nil, 1, 100, 5, 5, 5, ""},
		{"more before", recommended(4, 2, 5, 1), 1, 100, 5, 3, 5, "5 were recommended 60 s ago"},
		{"less before", recommended(1, 2, 2, 1), 1, 100, 3, 3, 3, ""},
		{"old ones do not count", recommended(10, 10, 9, 9), 1, 100, 5, 3, 3, ""},
		{"some are old", recommended(10, 10, 9, 9, 5, 2, 4, 1), 1, 100, 5, 3, 5, "5 were recommended 120 s ago"},
		{"within range", nil, 3, 8, 5, 7, 7, ""},
		{"below min", nil, 2, 8, 3, 1, 2, "not below minReplicas 2"},
		{"zero", nil, 0, 10, 1, 0, 0, ""},
		{"above max", nil, 1, 10, 20, 1000, 10, "not above maxReplicas 10"},
		{"at most double", nil, 1, 2000, 3, 1000, 6, "at most max(2 x 3, 4) = 6"},
		{"or 4", nil, 1, 2000, 1, 1000, 4, "at most max(2 x 1, 4) = 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := behaving(t, c.min, c.max, nil)
			h.state.Recommendations = c.before
			got, why := h.normalize(epoch, c.current, c.desired, nil)
			if got != c.want || !strings.Contains(string(why), c.because) || c.because == "" && len(why) > 0 {
				t.Errorf("got %d %q, want %d %q", got, why, c.want, c.because)
			}
		})
	}
}

// TestHPAEvents follows TestStoreScaleEvents: what was added counts for as long as a policy looks back.
func TestHPAEvents(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []Peak
		rules  HPARules
		change int // within the last minute before
		keep   int // events kept after a further one
	}{
		{"none", nil, rules(10, 60, 100, 60, 0), 0, 1},
		{"an old one", secondsAgo(7, 61), rules(10, 60, 100, 60, 0), 0, 1},
		{"a recent one", secondsAgo(7, 58), rules(10, 60, 100, 60, 0), 7, 2},
		{"one of two is old", secondsAgo(7, 61, 6, 59), rules(10, 60, 0, 0, 0), 6, 2},
		{"different periods", secondsAgo(9, 61, 7, 61, 6, 59, 8, 29), rules(10, 60, 100, 30, 0), 14, 3},
		{"two recent ones", secondsAgo(6, 59, 7, 58), rules(10, 120, 100, 30, 0), 13, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := behaving(t, 1, 100, &HPABehavior{ScaleUp: c.rules, ScaleDown: c.rules})
			h.state.Up = append([]Peak(nil), c.before...)
			if got := 10 - h.startOf(time.Minute, epoch, 10); got != c.change {
				t.Errorf("%d were added within a minute, want %d", got, c.change)
			}
			h.state.Seen, h.state.Current, h.state.Last = epoch, 10, Proposal{Desired: 15}
			h.follow(&Observation{Time: epoch, Desired: 15})
			if n := len(h.state.Up); n != c.keep || h.state.Up[n-1].Desired != 5 {
				t.Errorf("keeps %v, want %d with 5 at the end", h.state.Up, c.keep)
			}
			h.state.Up, h.state.Down = nil, append([]Peak(nil), c.before...)
			if got := h.startOf(time.Minute, epoch, 10) - 10; got != c.change {
				t.Errorf("%d were removed within a minute, want %d", got, c.change)
			}
			h.state.Seen, h.state.Current, h.state.Last = epoch, 10, Proposal{Desired: 5}
			h.follow(&Observation{Time: epoch, Desired: 5})
			if n := len(h.state.Down); n != c.keep || h.state.Down[n-1].Desired != 5 {
				t.Errorf("keeps %v, want %d with 5 at the end", h.state.Down, c.keep)
			}
		})
	}
}

func secondsAgo(pairs ...int) (list []Peak) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, Peak{Time: epoch.Add(-time.Duration(pairs[i+1]) * time.Second), Desired: pairs[i]})
	}
	return list
}
