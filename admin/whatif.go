package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/weirlb/weir/trace"
)

// Recorded is what the history has of a pool's traffic, which is what a replay of it needs.
type Recorded struct {
	Pool string `json:"pool"`
	trace.Counted
	Boots   []float64 `json:"boots_s"`           // the newest measured ones, seconds from launch to ready
	Desired *int      `json:"desired,omitempty"` // instances there were to be when the time began; nil: unknown
}

// Question asks what another policy would have done.
type Question struct {
	Pool   string    `json:"pool"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"` // zero: now
	Policy string    `json:"policy"`
	Seed   uint64    `json:"seed"` // of what is drawn; 0 means 1
}

// WhatIf is the answer: both runs of the simulator on the same requests, and beside them what was measured.
type WhatIf struct {
	Pool     string          `json:"pool"`
	From     time.Time       `json:"from"`
	To       time.Time       `json:"to"`
	Requests int64           `json:"requests"`
	Promise  float64         `json:"promise_s"` // the wait that kept is judged by: that of the pool as it is configured
	Price    float64         `json:"price"`     // of an instance for an hour; 0: by type and market
	Gaps     []trace.Gap     `json:"gaps"`      // of which the history knows nothing, in nanoseconds since From
	Notes    []string        `json:"notes"`     // what to know about how far to believe it
	Runs     json.RawMessage `json:"runs"`      // as weir replay --json has them: as it is configured, then the alternative
	Curves   []WhatIfCurve   `json:"curves"`    // of the runs, in their order, and of what was measured where the history has it
}

// WhatIfCurve is a run over time, each value beside its moment.
type WhatIfCurve struct {
	Policy    string     `json:"policy"`
	Time      []float64  `json:"t"` // Unix seconds
	Instances []float64  `json:"instances"`
	Wait      []*float64 `json:"wait_s"` // the longest of its time; of what was measured, the 95th percentile; null: none waited, or unknown
}

// WhatIfNow is what to start from: the policy as it is configured, as text.
type WhatIfNow struct {
	Pool   string `json:"pool"`
	Policy string `json:"policy"`
	Why    string `json:"why,omitempty"` // there is no text of it
}

// Wonderer answers what would have been.
type Wonderer interface {
	// Recorded is what the history has of a pool between two times.
	Recorded(ctx context.Context, pool string, from, to time.Time) (*Recorded, error)
	// WhatIf tries another policy on what the history has. It tells progress from 0 to 1. Mistakes of who asks are a [Mistake].
	WhatIf(ctx context.Context, q Question, progress func(float64)) (*WhatIf, error)
	// Policy is a pool's scale block as it is configured.
	Policy(pool string) (*WhatIfNow, error)
}

// Mistake is an error of who asks, which answers 400.
type Mistake struct{ Err error }

func (m Mistake) Error() string { return m.Err.Error() }
func (m Mistake) Unwrap() error { return m.Err }

// whatIfLines is the form of an answer that begins with how far it is: a JSON object a line, of {"progress": 0.5}, and at the end {"result": ...} or
// {"error": ...}.
const whatIfLines = "application/x-ndjson"

func (s *Server) getRecorded(w http.ResponseWriter, r *http.Request) {
	from, to, err := spanOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "time", err.Error())
		return
	}
	s.wonder(w, func(o Wonderer) (any, error) { return o.Recorded(r.Context(), r.PathValue("pool"), from, to) })
}

func (s *Server) getWhatIf(w http.ResponseWriter, r *http.Request) {
	s.wonder(w, func(o Wonderer) (any, error) { return o.Policy(r.FormValue("pool")) })
}

func (s *Server) postWhatIf(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyMost)
	s.wonder(w, func(o Wonderer) (any, error) {
		var q Question
		if err := decode(r, &q); err != nil {
			return nil, Mistake{errors.New(`the body is not {"pool": "api", "from": "2026-01-31T09:00:00Z", "to": "2026-01-31T10:00:00Z", "policy": "{min: 1, max: 4}"}: ` + err.Error())}
		}
		if !strings.Contains(r.Header.Get("Accept"), whatIfLines) {
			return o.WhatIf(r.Context(), q, func(float64) {})
		}
		line := lines{w: w}
		result, err := o.WhatIf(r.Context(), q, line.progress)
		if err != nil {
			if !line.begun {
				return nil, err
			}
			line.put(map[string]string{"error": err.Error()})
			return nil, nil
		}
		line.put(map[string]any{"result": result})
		return nil, nil
	})
}

// wonder answers with what do returns; nil when it has answered itself.
func (s *Server) wonder(w http.ResponseWriter, do func(Wonderer) (any, error)) {
	if s.o.WhatIf == nil {
		refuse(w, http.StatusNotImplemented, "read_only", "this Weir keeps no history")
		return
	}
	v, err := do(s.o.WhatIf)
	if _, mistaken := errors.AsType[Mistake](err); mistaken {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	if v != nil {
		answer(w, v)
	}
}

// lines is an answer that goes out line by line. One goroutine writes it.
type lines struct {
	w     http.ResponseWriter
	begun bool
	last  time.Time
}

func (l *lines) progress(done float64) {
	if time.Since(l.last) > 100*time.Millisecond {
		l.last = time.Now()
		l.put(map[string]float64{"progress": done})
	}
}

func (l *lines) put(v any) {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", whatIfLines)
	}
	if json.NewEncoder(l.w).Encode(v) == nil {
		http.NewResponseController(l.w).Flush()
	}
}
