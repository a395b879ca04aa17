package sim

import "time"

// event is something that will happen.
type event struct {
	at       time.Duration
	n        uint64 // the order of what happens at the same time is that of its planning
	kind     kind
	request  *request
	instance *instance
}

type kind uint8

const (
	answered kind = iota // a request's answer ends
	booted               // an instance is ready
	swept                // what has waited too long is refused
	ended                // an instance's time to drain is over
	stepped              // a step of what is forecast is over
	traded               // a spot market has another number of machines to give
	taken                // an instance's notice is over
	failed               // a launch has come to nothing
	crashed              // an instance ends by itself
	allowed              // what was put off may be tried again
	woken                // an instance of the warm pool is ready
	shared               // the first request of an instance's batch is answered
)

// events is a heap of what will happen, the soonest first.
type events struct {
	heap []event
	n    uint64
}

func (h *events) first() (at time.Duration, any bool) {
	if len(h.heap) == 0 {
		return 0, false
	}
	return h.heap[0].at, true
}

// push plans an event and returns its number, which is above 0.
func (h *events) push(e event) (n uint64) {
	h.n++
	e.n = h.n
	h.heap = append(h.heap, e)
	i := len(h.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			break
		}
		h.heap[i], h.heap[parent] = h.heap[parent], h.heap[i]
		i = parent
	}
	return e.n
}

func (h *events) pop() event {
	top, last := h.heap[0], len(h.heap)-1
	h.heap[0] = h.heap[last]
	h.heap[last] = event{}
	h.heap = h.heap[:last]
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < last && h.less(c, least) {
				least = c
			}
		}
		if least == i {
			return top
		}
		h.heap[i], h.heap[least] = h.heap[least], h.heap[i]
		i = least
	}
}

func (h *events) less(i, j int) bool {
	a, b := &h.heap[i], &h.heap[j]
	return a.at < b.at || a.at == b.at && a.n < b.n
}
