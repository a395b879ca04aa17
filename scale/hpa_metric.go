package scale

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// hpaMetric is an HPAMetric made ready for evaluation: names resolved, numbers in thousandths.
type hpaMetric struct {
	HPAMetric
	key     string  // of Observation.Metrics or Instance.Metrics
	request string  // key of Instance.Requests
	scale   float64 // thousandths of the resource in one unit of the metric
	cpu     bool    // the rules for a starting instance's cpu apply
	target  float64 // thousandths, or percent
	given   float64 // Request in thousandths
}

// check says what is wrong with m.
func (m HPAMetric) check() error {
	allowed := map[string][]string{
		HPAResource: {HPAUtilization, HPAAverageValue}, HPAContainerResource: {HPAUtilization, HPAAverageValue},
		HPAPods: {HPAAverageValue}, HPAObject: {HPAValue, HPAAverageValue}, HPAExternal: {HPAValue, HPAAverageValue},
	}
	targets, known := allowed[m.Type]
	if !known {
		return fmt.Errorf("type %q: want Resource, ContainerResource, Pods, Object or External", m.Type)
	}
	value, ok := 0.0, false
	for _, t := range targets {
		ok = ok || t == m.TargetType
	}
	switch m.TargetType {
	case HPAUtilization:
		value = float64(m.AverageUtilization)
	case HPAAverageValue:
		value = m.AverageValue
	case HPAValue:
		value = m.Value
	}
	switch {
	case !ok:
		return fmt.Errorf("a target of type %q does not go with a metric of type %s: want %s", m.TargetType, m.Type, strings.Join(targets, " or "))
	case !(value > 0) || value > 1e15 || math.Round(value*1000) == 0:
		return fmt.Errorf("target %s %g: want above 0", m.TargetType, value)
	case m.Name == "" && m.Query == "":
		return fmt.Errorf("it has no name")
	case m.Query != "" && m.Type != HPAObject && m.Type != HPAExternal:
		return fmt.Errorf("a query goes with a metric of type Object or External, not %s", m.Type)
	case (m.Container != "") != (m.Type == HPAContainerResource):
		return fmt.Errorf("container goes with type ContainerResource, and only with it")
	case m.Request < 0 || math.IsNaN(m.Request) || m.Request > 1e15:
		return fmt.Errorf("request %g: want above 0", m.Request)
	}
	return nil
}

func compileHPAMetric(m HPAMetric) hpaMetric {
	c := hpaMetric{HPAMetric: m, key: m.Name, request: m.Name, scale: 1000, given: math.Round(m.Request * 1000)}
	if m.Type == HPAResource || m.Type == HPAContainerResource {
		switch {
		case m.Name == "cpu": // Weir measures percent of a core, of which 1 is 10 thousandths of a core
			c.key, c.scale, c.cpu = CPUUtilization, 10, true
		case m.Name == "memory":
			c.key = "memory_bytes"
		case c.given == 0 && strings.HasSuffix(m.Name, "_utilization"):
			c.given = 100 * 1000
		}
	}
	if m.Container != "" {
		c.key, c.request = m.Container+"/"+c.key, m.Container+"/"+c.request
	}
	if m.Query != "" {
		c.key = "query:" + m.Query
		if m.Name == "" {
			c.Name = m.Query
		}
	}
	switch m.TargetType {
	case HPAUtilization:
		c.target = float64(m.AverageUtilization)
	case HPAAverageValue:
		c.target = math.Round(m.AverageValue * 1000)
	case HPAValue:
		c.target = math.Round(m.Value * 1000)
	}
	return c
}

// hpaResult is what one metric asks for, with the numbers behind it.
type hpaResult struct {
	desired int
	invalid string // why the metric cannot be evaluated

	usage   float64 // percent, or thousandths
	ratio   float64 // of usage to target
	ready   int     // instances it was measured on or multiplied by
	missing int     // that report nothing
	unready int     // that do not count yet
	filled  float64 // the ratio with those two filled in, when that was needed
	over    int     // instances that the filled ratio covers
	kept    string  // why it stays as it is
}

// Reasons to stay, as people read them.
const (
	keptTolerance = "within the tolerance"
	keptTurned    = "which speaks for the other direction"
	keptCount     = "which would scale in the other direction"
)

// within reports whether the ratio is too close to 1 to do anything.
func (h *HPA) within(ratio float64) bool {
	return 1-h.down.tolerance <= ratio && ratio <= 1+h.up.tolerance
}

func (h *HPA) evaluate(obs *Observation, m *hpaMetric) hpaResult {
	switch {
	case m.Type != HPAObject && m.Type != HPAExternal:
		return h.perInstance(obs, m)
	case m.TargetType == HPAAverageValue:
		return h.averageOf(obs, m)
	}
	return h.valueOf(obs, m)
}

// sums add up the instances' metrics in thousandths.
type sums struct {
	ready, missing, unready                 int
	metric                                  float64 // of the ready
	request, missingRequest, unreadyRequest float64
	missingFill                             float64 // what the missing are taken to use on a scale-in
	unrequested                             string  // an instance whose request is unknown
}

// perInstance evaluates a Resource, ContainerResource or Pods metric.
func (h *HPA) perInstance(obs *Observation, m *hpaMetric) (r hpaResult) {
	if len(obs.Instances) == 0 {
		r.invalid = "there are no instances"
		return r
	}
	s := h.sum(obs, m)
	r.ready, r.missing, r.unready = s.ready, s.missing, s.unready
	if s.ready == 0 {
		r.invalid = "no instance that counts reports it"
		return r
	}
	utilization := m.TargetType == HPAUtilization
	if utilization && s.unrequested != "" {
		r.invalid = "it is unknown how much " + s.unrequested + " requests"
		return r
	}
	if utilization && s.request == 0 {
		r.invalid = "the instances request none of it"
		return r
	}
	usage := func(metric, request float64, n int) float64 {
		if utilization {
			return math.Trunc(metric * 100 / request)
		}
		return math.Trunc(metric / float64(n))
	}
	r.usage = usage(s.metric, s.request, s.ready)
	r.ratio = r.usage / m.target

	upWithUnready := s.unready > 0 && r.ratio > 1
	if !upWithUnready && s.missing == 0 {
		if h.within(r.ratio) {
			r.desired, r.kept = obs.Desired, keptTolerance
		} else {
			r.desired = bounded(math.Ceil(r.ratio * float64(s.ready)))
		}
		return r
	}

	// Those that say nothing are taken to be busy when that speaks against a scale-in, and idle when it speaks against a
	// scale-out; those that are not ready yet are taken to be idle.
	metric, request, n := s.metric, s.request, s.ready
	if s.missing > 0 && r.ratio != 1 {
		n, request = n+s.missing, request+s.missingRequest
		if r.ratio < 1 {
			metric += s.missingFill
		}
	}
	if upWithUnready {
		n, request = n+s.unready, request+s.unreadyRequest
	}
	r.filled, r.over = usage(metric, request, n)/m.target, n
	switch {
	case h.within(r.filled):
		r.desired, r.kept = obs.Desired, keptTolerance
		return r
	case r.ratio < 1 && r.filled > 1, r.ratio > 1 && r.filled < 1:
		r.desired, r.kept = obs.Desired, keptTurned
		return r
	}
	r.desired = bounded(math.Ceil(r.filled * float64(n)))
	if r.filled < 1 && r.desired > obs.Desired || r.filled > 1 && r.desired < obs.Desired {
		r.desired, r.kept = obs.Desired, keptCount
	}
	return r
}

func (h *HPA) sum(obs *Observation, m *hpaMetric) (s sums) {
	utilization := m.TargetType == HPAUtilization
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if in.podIgnored() {
			continue
		}
		request := m.given
		if utilization {
			if own, ok := in.Requests[m.request]; ok && own > 0 && own < 1e15 {
				request = math.Round(own * 1000)
			}
			if request == 0 {
				s.unrequested = in.ID
			}
		}
		v, reported := in.Metrics[m.key]
		switch {
		case in.podPending():
			s.unready++
			s.unreadyRequest += request
		case !reported || !(v >= 0) || v > 1e15:
			s.missing++
			s.missingRequest += request
			if utilization {
				s.missingFill += math.Trunc(request * max(100, m.target) / 100)
			} else {
				s.missingFill += m.target
			}
		case m.cpu && h.cpuUnready(in, obs.Time):
			s.unready++
			s.unreadyRequest += request
		default:
			s.ready++
			s.metric += math.Round(v * m.scale)
			s.request += request
		}
	}
	return s
}

// valueOf evaluates an Object or External metric against a Value.
func (h *HPA) valueOf(obs *Observation, m *hpaMetric) (r hpaResult) {
	v, known := obs.number(m.key)
	if !known {
		r.invalid = "it is unknown"
		return r
	}
	r.usage = math.Round(v * 1000)
	r.ratio = r.usage / m.target
	switch {
	case obs.Desired == 0:
		r.desired = bounded(math.Ceil(r.ratio))
	case h.within(r.ratio):
		r.desired, r.kept = obs.Desired, keptTolerance
	case len(obs.Instances) == 0:
		r.invalid = "there are no instances"
	default:
		for i := range obs.Instances {
			if in := &obs.Instances[i]; !in.podIgnored() && !in.podPending() && in.podCondition(obs.Time).Status == "True" {
				r.ready++
			}
		}
		r.desired = bounded(math.Ceil(r.ratio * float64(r.ready)))
	}
	return r
}

// averageOf evaluates an Object or External metric against an AverageValue.
func (h *HPA) averageOf(obs *Observation, m *hpaMetric) (r hpaResult) {
	v, known := obs.number(m.key)
	if !known {
		r.invalid = "it is unknown"
		return r
	}
	pods := 0
	for i := range obs.Instances {
		if !obs.Instances[i].podIgnored() {
			pods++
		}
	}
	r.usage = math.Round(v * 1000)
	r.ready = pods
	r.ratio = r.usage / (m.target * float64(pods))
	r.desired, r.kept = pods, keptTolerance
	if !h.within(r.ratio) {
		r.desired, r.kept = bounded(math.Ceil(r.usage/m.target)), ""
	}
	return r
}

// number is a metric of the pool. in_flight counts the waiting requests too, as for Target: slots bound how many run, and a
// pool whose slots are all taken would otherwise never look busier than it is.
func (obs *Observation) number(name string) (v float64, known bool) {
	v, known = obs.metric(name)
	if waiting, ok := obs.metric(QueueDepth); ok && name == InFlight {
		v += waiting
	}
	return v, known
}

// explain writes the arithmetic of r.
func (m *hpaMetric) explain(why words, r *hpaResult) words {
	why = why.text(m.Name)
	if r.invalid != "" {
		return why.text(": ").text(r.invalid)
	}
	switch {
	case m.TargetType == HPAUtilization:
		why = why.text(" at ").num(r.usage).text(" % of requests / ").num(m.target).text(" % on ")
	case m.TargetType == HPAValue:
		why = why.text(" ").num(r.usage / 1000).text(" / ").num(m.target / 1000)
		if r.kept == "" && r.ready == 0 {
			return why.text(" = ").int(r.desired)
		}
		why = why.text(" on ")
	case m.Type == HPAObject || m.Type == HPAExternal:
		why = why.text(" ceil(").num(r.usage / 1000).text(" / ").num(m.target / 1000).text(" each)")
		if r.kept != "" {
			return why.text(" is ").text(r.kept).text(" of ").int(r.desired)
		}
		return why.text(" = ").int(r.desired)
	default:
		why = why.text(" at ").num(r.usage / 1000).text(" on average / ").num(m.target / 1000).text(" on ")
	}
	why = why.int(r.ready).text(" ready is ").num(r.ratio)
	if r.over > 0 {
		why = m.explainFilled(why, r)
	}
	if r.kept != "" {
		return why.text(", ").text(r.kept).text(": stays at ").int(r.desired)
	}
	return why.text(" = ").int(r.desired)
}

// explainFilled writes what the instances that were not measured are taken to use.
func (m *hpaMetric) explainFilled(why words, r *hpaResult) words {
	why = why.text("; with ")
	if r.missing > 0 {
		why = why.int(r.missing).text(" silent")
		switch {
		case r.ratio > 1:
			why = why.text(" at 0")
		case r.ratio < 1 && m.TargetType == HPAUtilization:
			why = why.text(" at ").num(max(100, m.target)).text(" %")
		case r.ratio < 1:
			why = why.text(" at the target")
		}
	}
	if r.unready > 0 && r.ratio > 1 {
		if r.missing > 0 {
			why = why.text(" and ")
		}
		why = why.int(r.unready).text(" not ready at 0")
	}
	return why.text(" it is ").num(r.filled).text(" on ").int(r.over)
}

// podIgnored reports whether the instance is as a pod that failed or is being deleted.
func (in *Instance) podIgnored() bool {
	switch in.State {
	case "draining", "stopping", "gone", "warm", "standby":
		return true
	}
	return in.Phase == "Failed"
}

// podPending reports whether the instance is as a pod that does not run yet. Phase, when given, has the word.
func (in *Instance) podPending() bool {
	if in.Phase != "" {
		return in.Phase == "Pending"
	}
	return in.coming()
}

// podCondition returns the Ready condition. Without one that was given it follows from the state: an instance that was
// ready once and is unhealthy now changed its mind late, which is what sets it apart from one that never was ready.
func (in *Instance) podCondition(now time.Time) Condition {
	switch {
	case in.ReadyCondition.Status != "":
		return in.ReadyCondition
	case in.ready():
		return Condition{Status: "True", LastTransition: in.Ready}
	case in.Ready.IsZero():
		return Condition{Status: "False", LastTransition: in.Started}
	}
	return Condition{Status: "False", LastTransition: now}
}

// cpuUnready reports whether the cpu of an instance tells more about its start than about its load.
func (h *HPA) cpuUnready(in *Instance, now time.Time) bool {
	c := in.podCondition(now)
	if in.Started.Add(h.initialization).After(now) {
		sampled := in.Sampled
		if sampled.IsZero() {
			sampled = now
		}
		return c.Status == "False" || sampled.Before(c.LastTransition.Add(seconds(max(0, in.SampleWindow))))
	}
	return c.Status == "False" && in.Started.Add(h.readiness).After(c.LastTransition)
}
