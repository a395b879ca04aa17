package scale

import "math"

// late is the share of requests that may wait longer than promised: the promise is about 95 of 100.
const late = 0.05

// waitLonger returns the probability that a request waits longer than patience, in a queue in front of so many slots.
//
// load is arrivals times mean service time, in slots (erlangs); patience is in mean service times; scv is the squared
// coefficient of variation of the service times; arrivals are Poisson. The probability to wait at all is Erlang's C
// (A. K. Erlang, 1917), which hardly depends on the service distribution. The wait of those that wait is exponential
// with the mean of M/M/c times (1+scv)/2: Allen and Cunneen's correction (A. O. Allen, Probability, Statistics and
// Queueing Theory, 1978, 5.3), in the form W. Whitt recommends for percentiles (Approximations for the GI/G/m
// Queue, Production and Operations Management 2:2, 1993). T. Kimura (Queueing Systems 15, 1994) compares its errors: a
// few per cent where a pool is of any use, exact for exponential services.
func waitLonger(slots int, load, scv, patience float64) float64 {
	if load <= 0 {
		return 0
	}
	if float64(slots) <= load {
		return 1 // the queue grows without end
	}
	block := 1.0
	for c := 1; c <= slots; c++ {
		block = nextBlock(block, c, load)
	}
	return tail(block, slots, load, scv, patience)
}

// nextBlock takes Erlang's B from c-1 slots to c. The recursion adds only positive terms, so it neither overflows nor
// cancels at any size, which the formula with factorials does from about 170 slots on.
func nextBlock(block float64, c int, load float64) float64 {
	return load * block / (float64(c) + load*block)
}

// tail is waitLonger from Erlang's B of the same slots and load; slots must be above load.
func tail(block float64, slots int, load, scv, patience float64) float64 {
	c := float64(slots)
	wait := block / (1 - load/c*(1-block)) // Erlang's C
	return wait * math.Exp(-2*(c-load)*patience/(1+scv))
}

// Above this load the exact count is not worth its loop; square-root staffing (S. Halfin and W. Whitt, Operations Research
// 29:3, 1981) is within one slot in a thousand, and noWait is the margin at which 5 % wait at all.
const (
	exactLoad = 50_000
	noWait    = 1.74
)

// FewestSlots returns the smallest number of slots with which at most 5 % of requests wait longer than patience, for services of mean 1 and squared
// coefficient of variation scv: load is the number of slots that would be busy if nobody waited, patience is in mean services.
func FewestSlots(load, scv, patience float64) int { return fewestSlots(load, scv, patience) }

// fewestSlots returns the smallest number of slots with which at most 5 % of requests wait longer than patience. The
// units are those of waitLonger.
func fewestSlots(load, scv, patience float64) int {
	if !(load > 0) {
		return 0
	}
	if load > exactLoad {
		return ceil(load + noWait*math.Sqrt(load))
	}
	block := 1.0
	for c := 1; ; c++ {
		block = nextBlock(block, c, load)
		if float64(c) > load && tail(block, c, load, scv, patience) <= late {
			return c
		}
	}
}
