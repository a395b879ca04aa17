package admin

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/weirlb/weir/scale"
)

// getExplanation tells in words why a pool had the capacity it had at a time: the decision then in force, with every
// policy's arithmetic.
func (s *Server) getExplanation(w http.ResponseWriter, r *http.Request) {
	pool := r.FormValue("pool")
	if pool == "" || !s.hasPool(pool) {
		refuse(w, http.StatusNotFound, "not_found", s.noPool(pool))
		return
	}
	at, err := timeOf("at", r.FormValue("at"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "time", err.Error())
		return
	}
	ds, err := s.o.Source.Decisions(pool, time.Time{}, at, 1)
	if err != nil {
		s.fail(w, err)
		return
	}
	if len(ds) == 0 {
		refuse(w, http.StatusNotFound, "not_found", fmt.Sprintf("no decision of pool %s is recorded up to then; a pool without scale makes none", quoted(pool)))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, explain(ds[0]))
	if at.IsZero() {
		io.WriteString(w, s.explainSick(pool))
	}
}

// explain writes a decision for people.
func explain(d scale.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  pool %s: %s\n", d.Time.UTC().Format("2006-01-02 15:04:05.000 UTC"), d.Pool, change(d))
	fmt.Fprintf(&b, "%s\n", d.Why)
	if len(d.Proposals) > 0 {
		b.WriteString("\nWhat each policy asked for:\n")
	}
	width := 0
	for _, p := range d.Proposals {
		width = max(width, len(p.Policy))
	}
	for _, p := range d.Proposals {
		asked := fmt.Sprintf("%4d", p.Desired)
		if p.Abstain {
			asked = "   -"
		}
		fmt.Fprintf(&b, "  %-*s  %s  %s\n", width, p.Policy, asked, p.Why)
	}
	if d.Bound != "" {
		fmt.Fprintf(&b, "\nBound by: %s\n", d.Bound)
	}
	return b.String()
}

func change(d scale.Decision) string {
	switch {
	case d.Desired > d.Previous:
		return fmt.Sprintf("grow from %d to %d", d.Previous, d.Desired)
	case d.Desired < d.Previous:
		return fmt.Sprintf("shrink from %d to %d", d.Previous, d.Desired)
	}
	return fmt.Sprintf("stay at %d", d.Desired)
}
