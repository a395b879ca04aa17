package l7

import (
	"sync"
	"time"
)

// alarm rings at a time that may be changed.
type alarm struct {
	mu    sync.Mutex
	turn  int // of set
	timer *time.Timer
	bell  chan struct{} // closed when it has rung
	rang  bool
}

func newAlarm() *alarm { return &alarm{bell: make(chan struct{})} }

func (a *alarm) rung() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bell
}

// set has it ring at t, and not before; the zero time: never.
func (a *alarm) set(t time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
	if a.rang {
		a.bell, a.rang = make(chan struct{}), false
	}
	if t.IsZero() {
		return
	}
	d := time.Until(t)
	if d <= 0 {
		a.ring()
		return
	}
	turn := a.turn
	a.timer = time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if turn == a.turn { // no other time was set meanwhile
			a.ring()
		}
	})
}

func (a *alarm) ring() {
	a.rang = true
	close(a.bell)
}
