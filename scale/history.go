package scale

import (
	"encoding/json"
	"iter"
	"slices"
	"strconv"
	"time"
)

// State is what a Decider carries from one decision to the next, so that the next process can go on where this one ended.
type State struct {
	Since  time.Time `json:"since,omitzero"`  // watched without a long gap since then
	Last   time.Time `json:"last,omitzero"`   // the newest observation
	Peaks  []Peak    `json:"peaks,omitempty"` // oldest and largest first
	Manual *Override `json:"manual,omitempty"`
	Moves  []Move    `json:"moves,omitempty"` // changes of the last minute, oldest first; only with MaxOutPerMinute or MaxInPerMinute

	Policies map[string]json.RawMessage `json:"policies,omitempty"` // what each Stateful policy carries over, by its name
}

// Move is a change of the capacity.
type Move struct {
	Time time.Time `json:"time"`
	By   int       `json:"by"` // below 0: in
}

// Override is a capacity set by hand.
type Override struct {
	Desired int       `json:"desired"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is taken back
}

func (m *Override) active(now time.Time) bool {
	return m != nil && (m.Until.IsZero() || now.Before(m.Until))
}

// State returns a copy of what d carries over.
func (d *Decider) State() State {
	s := State{Since: d.history.since, Last: d.history.last, Peaks: slices.Clone(d.history.peaks), Moves: slices.Clone(d.moves)}
	if d.manual != nil {
		s.Manual = new(*d.manual)
	}
	for name, p := range d.stateful() {
		if kept, err := p.SaveState(); err == nil && kept != nil {
			if s.Policies == nil {
				s.Policies = map[string]json.RawMessage{}
			}
			s.Policies[name] = kept
		}
	}
	return s
}

// Manually returns the capacity set by hand, nil when there is none.
func (d *Decider) Manually() *Override {
	if d.manual == nil {
		return nil
	}
	return new(*d.manual)
}

// Stateful reports whether any policy carries state of its own.
func (d *Decider) Stateful() bool {
	for range d.stateful() {
		return true
	}
	return false
}

// stateful gives the policies that carry state, by a name that tells those of the same name apart.
func (d *Decider) stateful() iter.Seq2[string, Stateful] {
	return func(yield func(string, Stateful) bool) {
		for i, policy := range d.o.Policies {
			p, ok := policy.(Stateful)
			if !ok {
				continue
			}
			name, same := p.Name(), 0
			for _, before := range d.o.Policies[:i] {
				if before.Name() == name {
					same++
				}
			}
			if same > 0 {
				name += " #" + strconv.Itoa(same+1)
			}
			if !yield(name, p) {
				return
			}
		}
	}
}

// Restore makes d go on from s, which may come from another process or other Options.
func (d *Decider) Restore(s State) {
	d.history = history{since: s.Since, last: s.Last}
	for _, p := range s.Peaks {
		d.history.push(p)
	}
	d.manual = nil
	if s.Manual != nil {
		d.manual = new(*s.Manual)
	}
	d.moves = slices.Clone(s.Moves)
	for name, p := range d.stateful() {
		if kept, ok := s.Policies[name]; ok {
			_ = p.RestoreState(kept) // what cannot be read is forgotten, as Stateful says
		}
	}
}

// Peak is a capacity that was asked for, and when.
type Peak struct {
	Time    time.Time `json:"time"`
	Desired int       `json:"desired"`
}

// history knows the largest capacity asked for during a sliding window: a queue of those that nothing larger has
// followed yet (D. Lemire, Streaming Maximum-Minimum Filter Using No More than Three Comparisons per Element, 2006). Their
// capacities fall strictly, so there are never more than the capacity of the pool plus one.
type history struct {
	since, last time.Time
	peaks       []Peak // oldest and largest first
}

// record adds what is asked for now and forgets what is older than the window.
func (h *history) record(now time.Time, desired int, window time.Duration) {
	if now.Before(h.last) || h.last.IsZero() || now.Sub(h.last) > max(window, time.Minute) {
		// The clock was set back, or nobody watched for so long that what was seen before proves nothing.
		h.since, h.peaks = now, h.peaks[:0]
	}
	h.last = now
	old := 0
	for old < len(h.peaks) && now.Sub(h.peaks[old].Time) > window {
		old++
	}
	h.peaks = slices.Delete(h.peaks, 0, old)
	h.push(Peak{Time: now, Desired: desired})
}

func (h *history) push(p Peak) {
	n := len(h.peaks)
	for n > 0 && h.peaks[n-1].Desired <= p.Desired {
		n--
	}
	h.peaks = append(h.peaks[:n], p)
}

// peak is the largest capacity asked for in the window; record was called before.
func (h *history) peak() Peak { return h.peaks[0] }
