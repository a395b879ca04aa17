package scale

// Target keeps a metric at Value per instance, as AWS target tracking and an HPA do.
//
// queue_depth, in_flight and requests_per_second are totals of the pool, so desired = ceil(total / Value), at whatever
// size the pool is now. in_flight counts the waiting requests too: slots bound how many run, and a pool whose slots
// are all taken would otherwise never look busier than it is.
//
// Any other metric is a level of each instance, as cpu_utilization is: desired = ceil(capacity * average / Value), where
// average and capacity are of the ready instances. Those still warming carry no load, so their levels do not count
// (AWS: instance warmup); they are capacity in that the result is compared with all that is ready or coming. Two
// instances at twice the target ask for four whether or not the other two are loading already, never for eight.
// When some ready instances report nothing, the others may make the pool grow but not shrink.
type Target struct {
	Metric string
	Value  float64 // above 0; per instance, in the unit of the metric
}

// Name is "target" and the metric.
func (t Target) Name() string { return "target " + t.Metric }

// Propose asks for the capacity at which the metric would be at its target value. It abstains when the metric is unknown.
func (t Target) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: t.Name()}
	if !(t.Value > 0) {
		p.Abstain, p.Why = true, "the target value must be above 0"
		return p
	}
	switch t.Metric {
	case QueueDepth, InFlight, RequestsPerSecond:
		t.total(obs, &p)
	default:
		t.level(obs, &p)
	}
	return p
}

// total proposes for a metric of the whole pool.
func (t Target) total(obs *Observation, p *Proposal) {
	total, known := obs.metric(t.Metric)
	if !known {
		p.Abstain, p.Why = true, t.Metric+" is unknown"
		return
	}
	var buf [128]byte
	why := words(buf[:0]).text("ceil(")
	switch t.Metric {
	case QueueDepth:
		why = why.num(total).text(" waiting")
	case RequestsPerSecond:
		why = why.num(total).text(" requests/s")
	case InFlight:
		waiting, _ := obs.metric(QueueDepth)
		why = why.text("(").num(total).text(" running + ").num(max(0, waiting)).text(" waiting)")
		if waiting > 0 {
			total += waiting
		}
	}
	p.Desired = ceil(total / t.Value)
	p.Why = string(why.text(" / ").num(t.Value).text(" each) = ").int(p.Desired))
}

// level proposes for a metric that each instance reports.
func (t Target) level(obs *Observation, p *Proposal) {
	var sum float64
	var reporting int
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if v, ok := in.Metrics[t.Metric]; ok && in.ready() && v >= 0 && v < 1e18 {
			sum += v
			reporting++
		}
	}
	ready, coming := obs.capacity()
	if reporting == 0 {
		p.Abstain, p.Why = true, "no ready instance reports "+t.Metric
		return
	}
	average := sum / float64(reporting)
	p.Desired = ceil(float64(ready) * average / t.Value)

	var buf [256]byte
	why := words(buf[:0]).text("ceil(").int(ready).text(" ready x ").num(average).text(" average / ").num(t.Value)
	why = why.text(" each) = ").int(p.Desired)
	if coming > 0 {
		why = why.text(", compared with ").int(ready + coming).text(" ready or coming")
	}
	if silent := ready - reporting; silent > 0 {
		why = why.text("; ").int(silent).text(" of the ready report nothing")
		if p.Desired < ready+coming {
			p.Desired = ready + coming
			why = why.text(", so no fewer than now: ").int(p.Desired)
		}
	}
	p.Why = string(why)
}
