package app

import (
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/fleet/plan"
)

// terminationOf are the rules by which scale-in chooses instances.
func terminationOf(s *config.Scale) (rules []plan.Termination) {
	for _, name := range s.Termination {
		rules = append(rules, plan.Termination(name))
	}
	return rules
}
