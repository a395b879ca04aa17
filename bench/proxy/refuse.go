package main

import (
	"fmt"

	"github.com/weirlb/weir/bench/internal/load"
)

// limits are the shares of a core, 0 to 1, above which a measurement is noise.
type limits struct {
	steal   float64 // that the hypervisor took
	foreign float64 // that other processes took of the proxy's core
	// loadForeign is what other processes took of the load's core. It does not
	// touch the proxy, but a proxy that waits for its load is not saturated.
	loadForeign float64
}

// minShare is how much of a set rate must have been reached.
const minShare = 0.95

// verdict says whether a measurement counts.
type verdict struct {
	reason string // empty when it counts
	noise  bool   // the machine's fault, not the candidate's
	final  bool   // another try would end alike
}

// judge decides whether a measurement counts. wanted is the rate of units per
// second that was asked for, or 0.
func (l limits) judge(mode string, wanted float64, r load.Result) verdict {
	switch {
	case r.NotOK > 0 || r.Errors > 0:
		return verdict{reason: fmt.Sprintf("%d answers were not 2xx, %d connections or answers broke: %s", r.NotOK, r.Errors, r.FirstError)}
	case r.Units == 0:
		return verdict{reason: "nothing was answered"}
	case mode == load.Hold:
		return verdict{} // memory, which other processes do not change
	case r.Steal > l.steal:
		return verdict{reason: fmt.Sprintf("the hypervisor took %.1f %% of the cores", 100*r.Steal), noise: true}
	case r.Foreign > l.foreign:
		return verdict{reason: fmt.Sprintf("others took %.1f %% of the proxy's core", 100*r.Foreign), noise: true}
	case r.LoadForeign > l.loadForeign:
		return verdict{reason: fmt.Sprintf("others took %.1f %% of the load's core", 100*r.LoadForeign), noise: true}
	case float64(r.Units) < minShare*wanted*r.Elapsed.Seconds():
		return verdict{reason: fmt.Sprintf("%.0f per second of %.0f", float64(r.Units)/r.Elapsed.Seconds(), wanted), noise: true}
	}
	return verdict{}
}
