package control

import "github.com/weirlb/weir/fleet/plan"

// EndFirst changes by which rules scale-in chooses.
func (l *Loop) EndFirst(rules []plan.Termination) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.o.Termination = rules
}
