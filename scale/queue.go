package scale

import (
	"math"
	"slices"
	"time"
)

// Queue is Weir's own policy: the fewest instances with which 95 of 100 requests wait at most WaitP95 in the pool's queue.
//
// It adds up what one program in front of the fleet can see: who waits, who runs, how fast requests come, how long they
// take, how long a launch takes, and what is loading already. Its proposal is the largest of three answers:
//
//   - steady: the slots that keep the promise at the present rate of arrivals (see [waitLonger]). The rate that counts is the
//     one to be expected when a launch of now is ready, growth included, up to twice the present rate. Never more slots
//     than there can be requests by then. To shrink, the promise must also survive 15 % more load. Spare comes on top, for
//     traffic that comes in bursts: Erlang's formula takes arrivals to be independent of each other.
//   - backlog: the queue is followed as a fluid until a launch of now could be ready, with what is ready and what is
//     loading. What is left then is what a launch can help, and the proposal is the capacity that starts the last of it
//     within WaitP95. A backlog that will be gone by then asks for nothing.
//   - keep: what is needed of the present instances to start everything that waits within WaitP95.
//
// Where a warm pool has instances prepared, the same three are asked a second time of the moment when one of them could be ready, and the proposal is no less
// than that answer, as far as they reach.
//
// The last two never ask for more slots than there are requests, waiting and running, to put in them.
// Where nothing was measured yet, a service is taken to last 1 s and a boot 10 s. With slots without limit nothing waits
// once an instance is ready, so the proposal is one instance while there is traffic.
type Queue struct {
	WaitP95 time.Duration // the longest wait promised to 95 of 100 requests
	Spare   int           // instances that the load is not to need, while there is any
}

// Name is "queue".
func (q Queue) Name() string { return "queue" }

// shrinkLoad is the load, relative to the present one, that a smaller pool must be able to take.
const shrinkLoad = 1.15

// Propose asks for the fewest instances that keep the promise. It abstains when it is not known how many requests
// wait and run. When only the rate of arrivals is unknown, the requests running are taken as the load (Little's law).
func (q Queue) Propose(obs *Observation) Proposal {
	p := Proposal{Policy: q.Name()}
	waiting, known := obs.metric(QueueDepth)
	if !known {
		p.Abstain, p.Why = true, "queue_depth is unknown"
		return p
	}
	running, known := obs.metric(InFlight)
	if !known {
		p.Abstain, p.Why = true, "in_flight is unknown"
		return p
	}
	o := q.look(obs, obs.Boot, waiting, running)
	if obs.Slots <= 0 {
		unlimited(&o, &p)
		return p
	}
	if obs.Prepared > 0 {
		w := q.look(obs, obs.Wake, waiting, running)
		_, grow := w.steady()
		o.wake, o.woken = w.boot, min(max(grow, w.backlog(), w.keep()), o.ready+o.coming+obs.Prepared)
	}
	o.decide(obs, &p)
	return p
}

// unlimited proposes for instances that take any number of requests at a time.
func unlimited(o *outlook, p *Proposal) {
	if o.waiting == 0 && o.running == 0 && o.rate == 0 {
		p.Why = "no traffic"
		return
	}
	p.Desired = 1
	p.Why = "slots are without limit, so nothing waits once one instance is ready; set concurrency, or add a target policy, to have more"
}

// outlook is what is known of the pool now and expected when an instance launched now would be ready. Times are in
// seconds and numbers of requests are fractions where they are expectations.
type outlook struct {
	waiting, running float64
	rate             float64 // arrivals per second, as measured
	growth           float64 // what the rate is expected to grow by until then
	service, scv     float64 // mean service time; squared coefficient of variation
	boot             float64 // until an instance launched now, or woken now, would be ready
	wait             float64 // the promise
	slots            int     // of one instance
	spare            int     // instances that the load is not to need
	ready, coming    int     // instances
	atBoot           queueThen
	first            float64 // until the first loading instance is ready
	guessed          string  // what was not measured, for the record
	wake             float64 // until an instance of the warm pool would be ready
	woken            int     // what there is to be with those that the warm pool is asked for; 0: it is asked for none
}

// queueThen is the state that the fluid reaches.
type queueThen struct {
	waiting float64 // requests still waiting
	slots   float64 // slots of all that is ready by then
}

// look sees what is to be expected when an instance could be ready of which lead says how long it takes.
func (q Queue) look(obs *Observation, lead Sample, waiting, running float64) outlook {
	o := outlook{waiting: waiting, running: running, wait: max(0, q.WaitP95.Seconds()), slots: max(1, obs.Slots), spare: max(0, q.Spare)}
	var servicesKnown, bootsKnown bool
	o.service, o.scv, servicesKnown = obs.Service.service()
	_, o.boot, bootsKnown = lead.boot()
	o.ready, o.coming = obs.capacity()
	switch {
	case !servicesKnown && !bootsKnown:
		o.guessed = "services taken as 1 s and boots as 10 s until measured"
	case !servicesKnown:
		o.guessed = "services taken as 1 s until measured"
	case !bootsKnown:
		o.guessed = "boots taken as 10 s until measured"
	}
	o.arrivals(obs)
	o.follow(obs)
	return o
}

// arrivals estimates the rate of arrivals and its growth from what was counted in a short window.
//
// A window that is looked at because a request came holds that request in any case; what it tells about the rate is
// in the others (n-1 of n). Without this a lone request would read as a steady stream. The trend counts as far as it is beyond
// nearly three standard deviations of the slope that Poisson arrivals at this rate show by chance, 4 sqrt(rate / window^3), and
// from the middle of the window on, which is the time that the rate is the rate of.
func (o *outlook) arrivals(obs *Observation) {
	rate, known := obs.metric(RequestsPerSecond)
	if !known {
		o.rate = o.running / o.service
		return
	}
	window, known := obs.metric(RateWindow)
	if !known || window == 0 {
		window = DefaultRateWindow
	}
	o.rate = max(0, rate-1/window)
	if trend, known := obs.metric(ArrivalTrend); known {
		chance := 4 * math.Sqrt(rate/(window*window*window))
		o.growth = min(max(0, trend-chance)*(o.boot+window/2), o.rate)
	}
}

// follow runs the queue as a fluid until an instance launched or woken now would be ready: requests flow in at the measured rate and
// out at slots per service time, and an instance that becomes ready by then takes its slots' worth at once.
func (o *outlook) follow(obs *Observation) {
	var buf [64]float64
	etas := buf[:0]
	for i := range obs.Instances {
		in := &obs.Instances[i]
		if !in.coming() {
			continue
		}
		p50, p90, _ := obs.Boot.boot()
		if in.Woken {
			p50, p90, _ = obs.Wake.boot()
		}
		if eta := in.eta(obs.Time, p50, p90); eta <= o.boot {
			etas = append(etas, eta)
		}
	}
	slices.Sort(etas)
	if len(etas) > 0 {
		o.first = etas[0]
	}

	perInstance := float64(o.slots)
	slots := float64(o.ready) * perInstance
	waiting := max(0, o.waiting-max(0, slots-o.running)) // free slots take theirs now
	now := 0.0
	flow := func(until float64) {
		waiting = max(0, waiting+(o.rate-slots/o.service)*(until-now))
		now = until
	}
	for _, eta := range etas {
		flow(eta)
		slots += perInstance
		waiting = max(0, waiting-perInstance)
	}
	flow(o.boot)
	o.atBoot = queueThen{waiting: waiting, slots: slots}
}

// load is the number of slots that would be busy, if nobody had to wait, when an instance launched now is ready: what
// runs now fades away with the service time, and what arrives takes its place (the M/G/infinity queue; S. G. Eick, W. A.
// Massey and W. Whitt, The Physics of the Mt/G/infinity Queue, Operations Research 41:4, 1993). For services that are long
// beside a boot this trusts the requests that are there more than a rate counted over seconds.
func (o *outlook) load() float64 {
	stay := math.Exp(-o.boot / o.service)
	return (o.rate+o.growth)*o.service*(1-stay) + o.running*stay
}

// crowd is the number of requests that will not be exceeded, 95 times of 100, when an instance launched now is ready:
// those that are there and those that Poisson arrivals at scale times the expected rate add. Slots beyond it can still be
// launched when they are needed.
func (o *outlook) crowd(scale float64) float64 {
	more := (o.rate + o.growth) * o.boot * scale
	return o.waiting + o.running + more + 1.645*math.Sqrt(more)
}

// within returns how many slots start the last of those that wait within the promise, when busy other requests hold
// slots as well. A number of slots c works through queue and slots at c per service time; the last one starts in time when
// c (service + wait) >= (waiting + busy) service. spread is for the luck of the draw: the sum of as many service times stays
// below it 95 times of 100. No use in more slots than requests.
func (o *outlook) within(waiting, busy float64) float64 {
	present := waiting + busy
	return min(present, (present+o.spread(waiting))*o.service/(o.service+o.wait))
}

func (o *outlook) spread(waiting float64) float64 { return 1.645 * math.Sqrt(waiting*o.scv) }

func (o *outlook) instances(slots float64) int { return ceil(slots / float64(o.slots)) }

// backlog returns the instances that the requests still waiting when a launch could be ready ask for; 0 when none will.
func (o *outlook) backlog() int {
	if o.atBoot.waiting < 0.5 {
		return 0
	}
	return o.instances(min(o.within(o.atBoot.waiting, o.atBoot.slots), o.waiting+o.running))
}

// keep returns how many of the present instances the requests waiting now ask for.
func (o *outlook) keep() int {
	if o.waiting == 0 {
		return 0
	}
	inTime := (o.waiting + o.spread(o.waiting)) * o.service / max(o.wait, 1e-9)
	return min(o.ready+o.coming, o.instances(min(inTime, o.waiting+o.running)))
}

// steady returns the slots that keep the promise at the load to be expected, and the instances for as many of them as there can be requests, with those to
// spare.
func (o *outlook) steady() (slots, grow int) {
	slots = fewestSlots(o.load(), o.scv, o.wait/o.service)
	return slots, o.spared(o.instances(min(float64(slots), o.crowd(1))))
}

// spared is n instances and those to spare, while there is any load.
func (o *outlook) spared(n int) int {
	if n == 0 {
		return 0
	}
	return n + o.spare
}

// decide proposes the largest of the three answers.
func (o *outlook) decide(obs *Observation, p *Proposal) {
	slots, grow := o.steady()
	load := o.load()
	spare := fewestSlots(load*shrinkLoad, o.scv, o.wait/o.service)
	shrink := max(grow, o.spared(o.instances(min(float64(spare), o.crowd(shrinkLoad)))))
	steady := max(grow, min(obs.Desired, shrink))
	backlog, keep := o.backlog(), o.keep()
	launched := max(steady, backlog, keep)
	p.Desired = max(launched, o.woken)

	var buf [512]byte
	why := o.explainSteady(words(buf[:0]), load, slots, grow, steady, shrink)
	why = o.explainBacklog(why, backlog, keep)
	if o.woken > launched {
		why = why.text("; ").int(obs.Prepared).text(" of the warm pool could be ready in ").secs(o.wake).text(": ").instances(o.woken)
	}
	if o.guessed != "" {
		why = why.text(" (").text(o.guessed).text(")")
	}
	p.Why = obs.say(why)
}

func (o *outlook) explainSteady(why words, load float64, slots, grow, steady, shrink int) words {
	if load == 0 {
		why = why.text("no load to hold")
	} else {
		why = why.num(o.rate).text(" requests/s")
		if o.growth > 0 {
			why = why.text(" growing to ").num(o.rate + o.growth).text(" in ").secs(o.boot)
		}
		why = why.text(" x ").secs(o.service).text(" with ").num(o.running).text(" running keep ").num(load).text(" slots busy; ")
		why = why.count(slots, "slot").text(" let 95 % wait under ").secs(o.wait).text(" = ").instances(grow)
		if o.spare > 0 && grow > 0 {
			why = why.text(" with ").int(o.spare).text(" to spare")
		}
		if o.slots > 1 {
			why = why.text(" of ").count(o.slots, "slot")
		}
		if crowd := o.crowd(1); crowd < float64(slots) {
			why = why.text(", as no more than ").num(crowd).text(" requests can be there in ").secs(o.boot)
		}
	}
	switch {
	case steady <= grow:
	case steady == shrink:
		why = why.text("; with 15 % in hand ").int(steady)
	default:
		why = why.text("; kept at ").int(steady).text(", for 15 % more load would need ").int(shrink)
	}
	return why
}

func (o *outlook) explainBacklog(why words, backlog, keep int) words {
	if o.coming > 0 {
		why = why.text("; ").int(o.coming).text(" loading, the first ready in ").secs(o.first)
	}
	if o.waiting == 0 && backlog == 0 {
		return why
	}
	why = why.text("; ").num(o.waiting).text(" wait, ")
	if backlog == 0 {
		why = why.text("none would in ").secs(o.boot).text(", before a launch could be ready")
	} else {
		why = why.num(o.atBoot.waiting).text(" would in ").secs(o.boot).text(", when a launch could be ready: ").instances(backlog)
	}
	if keep > backlog {
		why = why.text("; ").int(keep).text(" of those here or loading start them within ").secs(o.wait)
	}
	return why
}
