package scale

import (
	"math"
	"time"
)

// Propose looks at the triggers every PollingInterval and evaluates the HPA every 15 s, and repeats its last answer in
// between. It abstains while it has nothing to go by.
func (k *KEDA) Propose(obs *Observation) Proposal {
	s := &k.state
	switch {
	case k.o.PausedReplicas != nil:
		return Proposal{Policy: k.Name(), Desired: *k.o.PausedReplicas, Why: "paused at this capacity"}
	case k.o.Paused:
		return Proposal{Policy: k.Name(), Desired: obs.Desired, Why: "paused"}
	}
	if s.Since.IsZero() || obs.Time.Before(s.Since) {
		s.Since = obs.Time
	}
	if obs.Time.Before(s.LastActive) { // the clock was set back
		s.LastActive = obs.Time
	}
	fresh := obs.Desired != s.Current
	if since := obs.Time.Sub(s.Polled); s.Polled.IsZero() || since < 0 || since >= k.poll {
		s.Polled, fresh = obs.Time, true
		k.look(obs, k.o.MinReplicaCount == 0 || k.o.IdleReplicaCount != nil)
		k.judge(obs)
	}
	hpa := k.evaluate(obs, &fresh)
	if fresh {
		s.Last = k.choose(obs, hpa)
	}
	s.Current = obs.Desired
	return s.Last
}

// evaluate asks the HPA, with the triggers as its metrics when it is about to look at them.
func (k *KEDA) evaluate(obs *Observation, fresh *bool) Proposal {
	if k.hpa.due(obs.Time) {
		*fresh = true
		if obs.Desired > 0 {
			k.look(obs, true)
		}
	}
	inner := *obs
	inner.Metrics = k.values
	return k.hpa.Propose(&inner)
}

// choose says what to do, from the verdict on the triggers and what the HPA proposes.
func (k *KEDA) choose(obs *Observation, hpa Proposal) Proposal {
	p := Proposal{Policy: k.Name(), Desired: obs.Desired}
	var buf [640]byte
	why := words(buf[:0])
	switch v := k.state.Verdict; {
	case v == kedaIdle:
		p.Desired = 0
		why = k.sinceActive(obs.Time, why.text("no trigger is active")).text(": to 0")
	case obs.Desired == 0 && v == kedaActive && k.o.PausedScaleOut:
		why = why.text("a trigger is active, but scale-out is paused")
	case obs.Desired == 0 && v == kedaActive:
		p.Desired = max(1, k.o.MinReplicaCount)
		why = k.explainActive(why)
	case obs.Desired == 0 && v == kedaFailing:
		p.Abstain = true
		why = k.explainFailing(why)
	case obs.Desired == 0 && k.o.IdleReplicaCount == nil && k.o.MinReplicaCount > 0:
		p.Desired = k.o.MinReplicaCount
		why = why.text("fewer than minReplicaCount")
	case obs.Desired == 0:
		why = why.text("no trigger is active")
	default:
		p.Desired, p.Abstain = hpa.Desired, hpa.Abstain
		why = why.text(hpa.Why)
		if v == kedaInactive && k.mayIdle() {
			why = k.sinceActive(obs.Time, why.text("; no trigger is active"))
			if k.o.PausedScaleIn {
				why = why.text(", but scale-in is paused")
			} else {
				why = why.text(", to 0 after ").span(k.cool)
			}
		}
	}
	p.Why = obs.say(why)
	return p
}

func (k *KEDA) sinceActive(now time.Time, why words) words {
	if k.state.LastActive.IsZero() {
		return why
	}
	return why.text(" for ").span(now.Sub(k.state.LastActive))
}

// explainActive names the first active trigger.
func (k *KEDA) explainActive(why words) words {
	if k.o.ForceActivation {
		return why.text("activation is forced")
	}
	for i := range k.looks {
		switch l, t := &k.looks[i], &k.o.Triggers[i]; {
		case !l.active:
		case l.fallback:
			return why.text(k.names[i]).text(" fails, fallback is active")
		case t.Type == KEDACron:
			return why.text(k.names[i]).text(" is within start and end")
		default:
			return why.text(k.names[i]).text(" at ").num(l.value).text(" is above activationThreshold ").num(t.ActivationThreshold)
		}
	}
	return why.text("a trigger is active")
}

func (k *KEDA) explainFailing(why words) words {
	for i := range k.looks {
		if !k.looks[i].known && !k.o.Triggers[i].resource() {
			return why.text(k.names[i]).text(" fails, and no trigger is active: stays")
		}
	}
	return why.text("a trigger fails, and no trigger is active: stays")
}

// mayIdle reports whether the pool goes to zero when no trigger is active.
func (k *KEDA) mayIdle() bool { return k.o.IdleReplicaCount != nil || k.o.MinReplicaCount == 0 }

// judge is KEDA's RequestScale: whether any trigger is active, and what follows for the first and the last instance.
func (k *KEDA) judge(obs *Observation) {
	s := &k.state
	active, failing := k.o.ForceActivation, false
	for i := range k.looks {
		if !k.o.Triggers[i].resource() {
			active = active || k.looks[i].active
			failing = failing || !k.looks[i].known
		}
	}
	active = active || k.onlyCPU && !failing
	f := k.o.Fallback
	switch {
	case active:
		s.Verdict = kedaActive
		if first := obs.Desired == 0 || k.o.IdleReplicaCount != nil && obs.Desired < k.o.MinReplicaCount; first && !k.o.PausedScaleOut || !first && !failing {
			s.LastActive = obs.Time
		}
	case failing && (f == nil || f.Replicas != 0):
		s.Verdict = kedaFailing
	case obs.Desired > 0 && k.mayIdle() && !k.o.PausedScaleIn && k.cooled(obs.Time):
		s.Verdict = kedaIdle
	default:
		s.Verdict = kedaInactive
	}
}

// cooled reports whether no trigger has been active for long enough. When none ever was, only InitialCooldownPeriod counts.
func (k *KEDA) cooled(now time.Time) bool {
	if k.state.LastActive.IsZero() {
		return k.state.Since.Add(k.o.InitialCooldownPeriod).Before(now)
	}
	return k.state.LastActive.Add(k.cool).Before(now)
}

// look reads the triggers into looks and values. Failures are counted when count is set: KEDA does not ask a trigger a
// second time when its HPA asks already.
func (k *KEDA) look(obs *Observation, count bool) {
	for i := range k.o.Triggers {
		t := &k.o.Triggers[i]
		if t.resource() {
			continue
		}
		l := t.read(obs)
		switch {
		case l.known:
			if k.state.Failures[k.names[i]] > 0 {
				delete(k.state.Failures, k.names[i])
			}
		case k.o.Fallback != nil:
			if count {
				if k.state.Failures == nil {
					k.state.Failures = make(map[string]int)
				}
				k.state.Failures[k.names[i]]++
			}
			if k.state.Failures[k.names[i]] > k.o.Fallback.FailureThreshold {
				l = k.fallback(t, obs)
			}
		}
		k.looks[i] = l
		if l.known {
			k.values[k.names[i]] = l.value
		} else {
			delete(k.values, k.names[i])
		}
	}
}

// read gives the trigger's value.
func (t *KEDATrigger) read(obs *Observation) (l kedaLook) {
	switch t.Type {
	case KEDAPrometheus, KEDAMetric:
		l.value, l.known = obs.number(t.Metric)
	case KEDAQueue:
		waiting, known := obs.metric(QueueDepth)
		running, alsoKnown := obs.metric(InFlight)
		l.value, l.known = waiting+running, known && alsoKnown
	case KEDACron:
		if l.known = true; t.within(obs.Time) {
			l.value, l.active = float64(t.DesiredReplicas), true
		}
		return l
	}
	l.active = l.known && l.value > t.ActivationThreshold
	return l
}

// within reports whether the time lies between Start and End: the next End comes before the next Start.
func (t *KEDATrigger) within(now time.Time) bool {
	end, ends := t.End.Next(now)
	start, starts := t.Start.Next(now)
	return ends && (!starts || !start.Before(end))
}

// fallback stands in for a value that could not be had: as if the metric asked for so many instances.
func (k *KEDA) fallback(t *KEDATrigger, obs *Observation) (l kedaLook) {
	replicas := float64(k.o.Fallback.Replicas)
	switch current := float64(obs.Desired); k.o.Fallback.Behavior {
	case KEDACurrentReplicas:
		replicas = current
	case KEDACurrentReplicasIfHigher:
		replicas = max(replicas, current)
	case KEDACurrentReplicasIfLower:
		replicas = min(replicas, current)
	}
	m := t.metric("")
	target := m.AverageValue
	if m.TargetType == HPAValue {
		target = m.Value
		ready := 0
		for i := range obs.Instances {
			if obs.Instances[i].ready() {
				ready++
			}
		}
		if ready == 0 {
			return l
		}
		replicas /= float64(ready)
	}
	return kedaLook{value: math.Trunc(target*1000*replicas) / 1000, known: true, active: true, fallback: true}
}
