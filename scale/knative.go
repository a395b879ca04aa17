package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Metrics that a Knative may scale on.
const (
	KnativeConcurrency = "concurrency" // requests waiting and running
	KnativeRPS         = "rps"         // arrivals, requests/s
)

// KnativeOptions are what the annotations of a Knative revision and the ConfigMap config-autoscaler set for the KPA, the
// autoscaler of Knative Serving. The zero value of every field is Knative's default.
type KnativeOptions struct {
	Metric                        string        // concurrency, which is the default, or rps
	Target                        float64       // per instance; 0 is its slots, or 100 without a limit; 200 requests/s for rps
	TargetUtilization             float64       // of Target to aim for, above 0 to 1; 0 is 0.7
	StableWindow                  time.Duration // 6 s to 1 h; 0 is 60 s
	PanicWindowPercentage         float64       // of the stable window, 1 to 100; 0 is 10
	PanicThresholdPercentage      float64       // of the ready instances' capacity, 110 to 1000; 0 is 200
	MaxScaleUpRate                float64       // from one tick to the next, above 1; 0 is 1000
	MaxScaleDownRate              float64       // above 1; 0 is 2
	ScaleDownDelay                time.Duration // scale in only to the most of this time
	ActivationScale               int           // fewest instances as long as there are any
	MinScale, MaxScale            int           // a MaxScale of 0 sets no limit
	ScaleToZeroGracePeriod        time.Duration // from idle to zero; 0 is 30 s
	ScaleToZeroPodRetentionPeriod time.Duration // the same, when that is longer
}

const (
	knativeTick      = 2 * time.Second
	knativeTargetMin = 0.01
)

// Knative proposes what the KPA of Knative Serving 0.51 would scale to: the capacity for the average of a stable window,
// or, when the average of a short window asks for twice as many instances as are ready, for that at once, with no scale-in
// until a stable window has passed without it. Source of the algorithm: knative/serving, pkg/autoscaler.
//
// Load is sampled whenever it is asked, into seconds. A second in which it was unknown is left out of the averages.
type Knative struct {
	o           KnativeOptions
	panicWindow time.Duration
	utilization float64
	threshold   float64 // ratio
	grace       time.Duration

	state    KnativeState
	restored bool // state comes from elsewhere, and nobody has looked since
}

// KnativeState is what a Knative carries from one tick to the next.
type KnativeState struct {
	Ticked   time.Time       `json:"ticked,omitzero"` // when it last decided
	Last     Proposal        `json:"last,omitzero"`
	Samples  []KnativeSample `json:"samples,omitempty"` // of the stable window, oldest first
	Panic    time.Time       `json:"panic,omitzero"`    // last over the threshold; zero: not panicking
	Most     int             `json:"most,omitempty"`    // asked for during this panic
	Delay    []Peak          `json:"delay,omitempty"`   // of the ScaleDownDelay, largest first
	Active   time.Time       `json:"active,omitzero"`   // asks for more than zero since then
	Inactive time.Time       `json:"inactive,omitzero"` // asks for zero, and was active for a stable window before
}

// KnativeSample is the load seen within one second.
type KnativeSample struct {
	Second int64   `json:"second"` // of Unix time
	Sum    float64 `json:"sum"`
	Count  int     `json:"count"`
}

// NewKnative returns a Knative without history, or says what is wrong with o.
func NewKnative(o KnativeOptions) (*Knative, error) {
	fill(&o.Metric, KnativeConcurrency)
	fill(&o.TargetUtilization, 0.7)
	fill(&o.StableWindow, time.Minute)
	fill(&o.PanicWindowPercentage, 10)
	fill(&o.PanicThresholdPercentage, 200)
	fill(&o.MaxScaleUpRate, 1000)
	fill(&o.MaxScaleDownRate, 2)
	fill(&o.ScaleToZeroGracePeriod, 30*time.Second)
	k := &Knative{o: o, utilization: o.TargetUtilization, threshold: o.PanicThresholdPercentage / 100}
	k.panicWindow = max(time.Second, time.Duration(float64(o.StableWindow)*o.PanicWindowPercentage/100))
	k.grace = max(o.ScaleToZeroGracePeriod, o.ScaleToZeroPodRetentionPeriod)
	return k, errors.Join(o.check()...)
}

func fill[T comparable](p *T, def T) {
	var zero T
	if *p == zero {
		*p = def
	}
}

func (o *KnativeOptions) check() (errs []error) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(o.Metric == KnativeConcurrency || o.Metric == KnativeRPS, "metric %q: want concurrency or rps", o.Metric)
	want(o.Target == 0 || o.Target >= knativeTargetMin && o.Target < 1e15, "target %g: want at least %g", o.Target, knativeTargetMin)
	want(o.TargetUtilization > 0 && o.TargetUtilization <= 1, "target utilization %g: want above 0, at most 1", o.TargetUtilization)
	want(o.StableWindow >= 6*time.Second && o.StableWindow <= time.Hour, "stable window %v: want 6s to 1h", o.StableWindow)
	want(o.PanicWindowPercentage >= 1 && o.PanicWindowPercentage <= 100, "panic window percentage %g: want 1 to 100", o.PanicWindowPercentage)
	want(o.PanicThresholdPercentage >= 110 && o.PanicThresholdPercentage <= 1000, "panic threshold percentage %g: want 110 to 1000", o.PanicThresholdPercentage)
	want(o.MaxScaleUpRate > 1, "max scale up rate %g: want above 1", o.MaxScaleUpRate)
	want(o.MaxScaleDownRate > 1, "max scale down rate %g: want above 1", o.MaxScaleDownRate)
	want(o.ScaleDownDelay >= 0 && o.ScaleDownDelay <= time.Hour, "scale down delay %v: want 0s to 1h", o.ScaleDownDelay)
	want(o.ActivationScale >= 0, "activation scale %d: want at least 0", o.ActivationScale)
	want(o.MinScale >= 0 && o.MaxScale >= 0 && (o.MaxScale == 0 || o.MinScale <= o.MaxScale), "min scale %d and max scale %d: want 0 <= min <= max", o.MinScale, o.MaxScale)
	want(o.ScaleToZeroGracePeriod > 0 && o.ScaleToZeroPodRetentionPeriod >= 0, "the scale to zero periods: want above 0")
	return errs
}

// Name is "knative".
func (k *Knative) Name() string { return "knative" }

// State returns a copy of what k carries over.
func (k *Knative) State() KnativeState {
	s := k.state
	s.Samples, s.Delay = slices.Clone(s.Samples), slices.Clone(s.Delay)
	return s
}

// Restore makes k go on from s, which may come from another process or other options.
func (k *Knative) Restore(s KnativeState) {
	s.Samples, s.Delay = slices.Clone(s.Samples), slices.Clone(s.Delay)
	k.state, k.restored = s, true
}

// SaveState returns what k carries over, as JSON.
func (k *Knative) SaveState() ([]byte, error) { return json.Marshal(k.state) }

// RestoreState makes k go on from what SaveState returned.
func (k *Knative) RestoreState(text []byte) error {
	var s KnativeState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read the state of a knative policy: %w", err)
	}
	k.Restore(s)
	return nil
}

// Propose samples the load, decides every 2 s, and repeats its last answer in between. It abstains when it has not known
// the load for a whole stable window.
func (k *Knative) Propose(obs *Observation) Proposal {
	s := &k.state
	if obs.Time.Before(s.Ticked) { // the clock was set back: what seems to lie ahead proves nothing
		*s = KnativeState{Most: s.Most, Last: s.Last}
	}
	k.sample(obs)
	if since := obs.Time.Sub(s.Ticked); s.Ticked.IsZero() || since >= knativeTick {
		first := s.Ticked.IsZero() || k.restored && since > k.o.StableWindow // nobody watched for longer than it remembers
		s.Ticked, k.restored = obs.Time, false
		s.Last = k.tick(obs, first)
	}
	return s.Last
}

// sample records the load of this moment.
func (k *Knative) sample(obs *Observation) {
	s := &k.state
	load, known := obs.metric(RequestsPerSecond)
	if k.o.Metric == KnativeConcurrency {
		waiting, ok := obs.metric(QueueDepth)
		running, alsoOK := obs.metric(InFlight)
		load, known = waiting+running, ok && alsoOK
	}
	second := obs.Time.Unix()
	old := 0
	for oldest := second - int64(k.o.StableWindow/time.Second); old < len(s.Samples) && s.Samples[old].Second <= oldest; {
		old++
	}
	s.Samples = slices.Delete(s.Samples, 0, old)
	if !known {
		return
	}
	if n := len(s.Samples); n > 0 && s.Samples[n-1].Second == second {
		s.Samples[n-1].Sum += load
		s.Samples[n-1].Count++
		return
	}
	s.Samples = append(s.Samples, KnativeSample{Second: second, Sum: load, Count: 1})
}

// average is that of the seconds within a window that ends now.
func (k *Knative) average(now time.Time, window time.Duration) (mean float64, known bool) {
	sum, n := 0.0, 0
	oldest := now.Unix() - int64(window/time.Second)
	for i := len(k.state.Samples) - 1; i >= 0 && k.state.Samples[i].Second > oldest; i-- {
		sum += k.state.Samples[i].Sum / float64(k.state.Samples[i].Count)
		n++
	}
	return math.Round(sum/float64(max(1, n))*1e6) / 1e6, n > 0 // Knative rounds to six digits
}

// target is the load to aim for per instance.
func (k *Knative) target(obs *Observation) float64 {
	total := k.o.Target
	switch {
	case k.o.Metric == KnativeRPS:
		fill(&total, 200)
	case total == 0 && obs.Slots == 0:
		total = 100
	case total == 0 || obs.Slots > 0 && float64(obs.Slots) < total: // never more than an instance works on
		total = float64(obs.Slots)
	}
	return max(knativeTargetMin, total*k.utilization)
}

func (k *Knative) tick(obs *Observation, first bool) Proposal {
	p := Proposal{Policy: k.Name()}
	ready, _ := obs.capacity()
	if first { // without a history it keeps what there is for a stable window
		if k.state.Most = ready; ready > 1 {
			k.state.Panic = obs.Time
		}
	}
	stable, known := k.average(obs.Time, k.o.StableWindow)
	if !known {
		p.Abstain, p.Why = true, k.o.Metric+" is unknown"
		return p
	}
	panicking, known := k.average(obs.Time, k.panicWindow)
	if !known {
		panicking = stable
	}
	var buf [320]byte
	desired, why := k.scale(obs.Time, ready, stable, panicking, k.target(obs), words(buf[:0]))
	desired, why = k.toZero(obs, desired, why)
	if bounded := max(desired, k.o.MinScale); k.o.MaxScale > 0 && bounded > k.o.MaxScale {
		desired, why = k.o.MaxScale, why.text("; not above max scale ").int(k.o.MaxScale)
	} else if bounded != desired {
		desired, why = bounded, why.text("; not below min scale ").int(k.o.MinScale)
	}
	p.Desired, p.Why = desired, obs.say(why)
	return p
}

// scale decides from the averages of both windows.
func (k *Knative) scale(now time.Time, ready int, stable, panicking, target float64, why words) (int, words) {
	s := &k.state
	pods := float64(max(1, ready))
	most, fewest := math.Ceil(k.o.MaxScaleUpRate*pods), math.Floor(pods/k.o.MaxScaleDownRate)
	wantStable, wantPanic := math.Ceil(stable/target), math.Ceil(panicking/target)
	forStable, forPanic := bounded(min(max(wantStable, fewest), most)), bounded(min(max(wantPanic, fewest), most))
	if wantStable > 0 {
		forStable = max(forStable, k.o.ActivationScale)
	}
	if wantPanic > 0 {
		forPanic = max(forPanic, k.o.ActivationScale)
	}
	switch over := wantPanic/pods >= k.threshold; {
	case over:
		s.Panic = now
	case !s.Panic.IsZero() && s.Panic.Add(k.o.StableWindow).Before(now):
		s.Panic, s.Most = time.Time{}, 0
	}

	desired, want := forStable, wantStable
	if s.Panic.IsZero() {
		why = why.text("ceil(").num(stable).text(" over ").span(k.o.StableWindow)
	} else {
		desired, want = max(forStable, forPanic), max(wantStable, wantPanic)
		why = why.text("panicking with ").int(ready).text(" ready: ceil(").num(max(stable, panicking))
	}
	why = why.text(" / ").num(target).text(" each) = ").int(bounded(want))
	if float64(desired) != want {
		why = why.text(", bound to ").int(desired).text(" at a time")
	}
	if !s.Panic.IsZero() {
		if desired < s.Most {
			why = why.text("; no scale-in from ").int(s.Most).text(" while panicking")
		}
		s.Most = max(s.Most, desired)
		desired = s.Most
	}
	if k.o.ScaleDownDelay > 0 {
		if delayed := k.delay(now, desired); delayed != desired {
			desired = delayed
			why = why.text("; held at ").int(desired).text(" by the scale down delay of ").span(k.o.ScaleDownDelay)
		}
	}
	return desired, why
}

// delay gives the most that was asked for within ScaleDownDelay, counted in ticks.
func (k *Knative) delay(now time.Time, desired int) int {
	ticks := int64((k.o.ScaleDownDelay + knativeTick - 1) / knativeTick)
	index := func(t time.Time) int64 { return t.Unix() / int64(knativeTick/time.Second) }
	h := history{peaks: k.state.Delay}
	old := 0
	for old < len(h.peaks) && index(now)-index(h.peaks[old].Time) >= ticks {
		old++
	}
	h.peaks = slices.Delete(h.peaks, 0, old)
	h.push(Peak{Time: now, Desired: desired})
	k.state.Delay = h.peaks
	return h.peak().Desired
}

// toZero lets the last instances go after a stable window of activity, one without load, and the grace period.
func (k *Knative) toZero(obs *Observation, desired int, why words) (int, words) {
	s := &k.state
	if desired > 0 {
		if s.Active.IsZero() {
			s.Active = obs.Time
		}
		s.Inactive = time.Time{}
		return desired, why
	}
	if obs.Desired == 0 {
		s.Active = time.Time{}
		return 0, why
	}
	if s.Active.IsZero() {
		s.Active = obs.Time
	}
	if active := obs.Time.Sub(s.Active); s.Inactive.IsZero() && active < k.o.StableWindow {
		return 1, why.text("; to 0 after a stable window, active for ").span(active)
	}
	if s.Inactive.IsZero() {
		s.Inactive = obs.Time
	}
	if idle := obs.Time.Sub(s.Inactive); idle < k.grace {
		return obs.Desired, why.text("; to 0 after ").span(k.grace).text(", idle for ").span(idle)
	}
	return 0, why
}
