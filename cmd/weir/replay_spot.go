package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weirlb/weir/fleet/plan"
	"github.com/weirlb/weir/sim"
	"github.com/weirlb/weir/trace"
)

// readSpot reads the recordings of spot markets, and says of each where it holds.
func (r *replayCmd) readSpot(w io.Writer, o *sim.Options, rec *recording) error {
	if len(r.Spot) == 0 {
		return nil
	}
	if r.Price > 0 {
		return usageError{errors.New("weir replay: --spot: the prices of on-demand and spot are those of scale.cost.types; leave --price out")}
	}
	markets, err := spotMarkets(r.Spot, o.Mix)
	if err != nil {
		return usageError{fmt.Errorf("weir replay: --spot: %w", err)}
	}
	if o.Markets, err = rec.readMarkets(markets); err != nil {
		return err
	}
	if o.Mix.OnDemandOf(o.Scale.Max) == o.Scale.Max {
		fmt.Fprintf(w, "weir replay: --spot changes nothing: of %d instances all are on demand; write a lower scale.cost.on_demand_percent\n", o.Scale.Max)
	}
	for _, as := range o.Mix.Placements(plan.Spot) {
		if !slices.ContainsFunc(markets, func(m spotMarket) bool { return m.Zone == as.Zone && (m.Type == "" || m.Type == as.Type) }) {
			fmt.Fprintf(w, "weir replay: --spot has no recording for %s: what is asked for there is given\n", as)
		}
	}
	return nil
}

// readMarkets reads the recordings, and notes a line about each.
func (rec *recording) readMarkets(markets []spotMarket) (out []sim.Market, err error) {
	for _, m := range markets {
		f, err := os.Open(m.file)
		if err != nil {
			return nil, err
		}
		s, err := trace.ReadSpot(m.file, f)
		f.Close()
		if err != nil {
			return nil, err
		}
		m.Gap, m.Counts = s.Gap, s.Counts
		again := ""
		if n := len(rec.requests); n > 0 && rec.requests[n-1].At > m.Gap*time.Duration(len(m.Counts)) {
			again = ", which begins anew at its end"
		}
		rec.markets += fmt.Sprintf("spot in %s: %s, %s every %s%s\n", m.name(), m.file, s.Span().Round(time.Minute), s.Gap, again)
		out = append(out, m.Market)
	}
	return out, nil
}

// spotMarket is one part of --spot.
type spotMarket struct {
	sim.Market
	file string
}

func (m *spotMarket) name() string {
	switch {
	case m.Type != "":
		return m.Type + "/" + m.Zone
	case m.Zone != "":
		return m.Zone
	}
	return "the only zone"
}

// spotMarkets says which file of --spot is of which market of the pool.
func spotMarkets(spot []string, mix *plan.Mix) (markets []spotMarket, err error) {
	if mix == nil || len(mix.Placements(plan.Spot)) == 0 {
		return nil, errors.New(`the pool has no type with a spot price; write in its scale
    cost:
      on_demand_percent: 0
      zones: [a, b]
      types: [{name: g5.xlarge, on_demand: 1.006, spot: 0.302}]`)
	}
	var zones []string
	for _, as := range mix.Placements(plan.Spot) {
		if !slices.Contains(zones, as.Zone) {
			zones = append(zones, as.Zone)
		}
	}
	unnamed := 0
	for _, text := range spot {
		place, file, named := strings.Cut(text, "=")
		m := spotMarket{file: file}
		if !named {
			if unnamed == len(zones) {
				return nil, fmt.Errorf("%s is a file too many: the pool has %d zones; write ZONE=FILE", text, len(zones))
			}
			m.Zone, m.file = zones[unnamed], text
			unnamed++
		} else if typ, zone, has := strings.Cut(place, "/"); has {
			m.Type, m.Zone = typ, zone
		} else {
			m.Zone = place
		}
		if !slices.ContainsFunc(mix.Placements(plan.Spot), func(as plan.Placement) bool { return as.Zone == m.Zone && (m.Type == "" || as.Type == m.Type) }) {
			return nil, fmt.Errorf("%s: the pool has no spot there; it has %s", text, listOf(mix.Placements(plan.Spot)))
		}
		if slices.ContainsFunc(markets, func(o spotMarket) bool { return o.Zone == m.Zone && o.Type == m.Type }) {
			return nil, fmt.Errorf("%s: there is a file for %s already", text, m.name())
		}
		markets = append(markets, m)
	}
	return markets, nil
}

func listOf(all []plan.Placement) string {
	var names []string
	for _, as := range all {
		if name := strings.TrimSuffix(as.Type+"/"+as.Zone, "/"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
