package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The types of events.
const (
	EventSpot     = "spot"     // an instance is taken back, may be, or was
	EventCapacity = "capacity" // there was no machine of a type, market and zone
	EventRemedy   = "remedy"   // something is done for an instance that fails a check
	EventHook     = "hook"     // an instance waits for lifecycle hooks, or one has ended
	EventRefresh  = "refresh"  // instances are being replaced by ones of another version
	EventAlarm    = "alarm"    // an alarm has another state
	EventInstance = "instance" // an instance has another state
	EventTarget   = "target"   // a target has another state
	EventDecision = "decision" // a pool is to have another capacity
	EventNotice   = "notice"   // what a person changed, and anything else
)

// eventTypes are those that are kept; decisions are, elsewhere, with all that led to them.
var eventTypes = []string{
	EventSpot, EventCapacity, EventRemedy, EventHook, EventRefresh, EventAlarm, EventInstance, EventTarget, EventNotice,
}

// Chronicle keeps events beyond the end of this process.
type Chronicle interface {
	// Keep writes events down, the oldest first.
	Keep(events []Event) error
	// Events returns up to limit events of a pool, of all pools when it is "", and of the given types, of all when there are none: the newest
	// first.
	Events(pool string, types []string, limit int) ([]Event, error)
}

// fresh is what happened since the chronicle was written last.
type fresh struct {
	mu     sync.Mutex
	events []Event
	writes sync.Mutex // held while events are written, so that they stay in their order
}

// freshMost is how many events may wait to be written: where more happen within a second, the oldest of them are told and not kept.
const freshMost = 4096

func (f *fresh) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.events) == freshMost {
		f.events = append(f.events[:0], f.events[freshMost/2:]...)
	}
	f.events = append(f.events, e)
}

func (f *fresh) take() []Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.events
	f.events = nil
	return out
}

// write brings the chronicle up to date.
func (s *Server) write() {
	if s.o.Chronicle == nil {
		return
	}
	s.fresh.writes.Lock()
	defer s.fresh.writes.Unlock()
	events := s.fresh.take()
	if len(events) == 0 {
		return
	}
	err := s.o.Chronicle.Keep(events)
	switch {
	case err != nil && !s.unwritten:
		s.log.Warn("what happened could not be written down; it is told all the same", "error", err)
	case err == nil && s.unwritten:
		s.log.Info("what happens is written down again")
	}
	s.unwritten = err != nil
}

// chronicle writes each second, until ctx ends: apart from what sends the status, so that a slow disk holds up nobody.
func (s *Server) chronicle(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	defer s.write()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.write()
		}
	}
}

const (
	journalDefault = 200
	journalMost    = 5000
)

// getJournal answers what has happened, also before this process.
func (s *Server) getJournal(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(cmp.Or(r.FormValue("limit"), strconv.Itoa(journalDefault)))
	if err != nil || limit < 1 || limit > journalMost {
		refuse(w, http.StatusBadRequest, "limit", fmt.Sprintf("limit=%s is not a number from 1 to %d", quoted(r.FormValue("limit")), journalMost))
		return
	}
	var types []string
	for t := range strings.SplitSeq(r.FormValue("type"), ",") {
		if t == "" {
			continue
		}
		if !slices.Contains(eventTypes, t) {
			refuse(w, http.StatusBadRequest, "type", quoted(t)+" is no type of event that is kept here; there are "+strings.Join(eventTypes, ", ")+", and GET /v1/decisions")
			return
		}
		types = append(types, t)
	}
	pool := r.FormValue("pool")
	if pool != "" && !s.hasPool(pool) {
		refuse(w, http.StatusNotFound, "not_found", s.noPool(pool))
		return
	}
	var events []Event
	if s.o.Chronicle != nil {
		s.write()
		if events, err = s.o.Chronicle.Events(pool, types, limit); err != nil {
			s.fail(w, err)
			return
		}
	}
	answer(w, map[string]any{"events": notNil(events)})
}
