package fleet

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// refuse notes that there is no machine for an instance. It is nobody's failure: other placements may be asked at once.
func (f *Fleet) refuse(in *instance, err error) {
	f.mu.Lock()
	until := f.refused.Refuse(in.Placement, time.Now())
	in.why = err.Error()
	f.mu.Unlock()
	f.log.Warn("an instance was refused", "pool", in.Pool, "instance", in.ID, "placement", in.Placement.String(), "not again before", until, "why", err)
	f.happened(in, CapacityRefused, "", fmt.Sprintf("no machine for %s: %v; not asked for again before %s", in.Placement, err, until.UTC().Format(time.TimeOnly+" UTC")))
}

// Refused is where capacity was refused lately, for the next plan. The caller may keep it.
func (f *Fleet) Refused() *plan.Refusals {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused.Clone()
}
