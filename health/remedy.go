package health

import "slices"

// Remedy is what is done for an instance that fails a check.
type Remedy string

// The remedies, the mildest first.
const (
	ScaleUp Remedy = "scale_up" // another one is launched, and this one stays: it comes back by itself
	Reload  Remedy = "reload"   // it is told to load again, and replaced when that does not help
	Replace Remedy = "replace"  // another one is launched first, then this one drains and ends
	Restart Remedy = "restart"  // it ends at once, and is launched again: nothing that runs on it would come to an end
)

var mildness = []Remedy{ScaleUp, Reload, Replace, Restart}

// What of a check fails that no field of its answer names.
const (
	FailingTimeout = "timeout" // there was no answer in time
	FailingOther   = "other"   // the check failed, and nothing that has a name did
)

// RemedyOf is the remedy for an instance of which these checks fail, and the check that it is for: the strongest of those that the rules know. Where
// they know none it is Replace, for no check.
func RemedyOf(failing []string, rules map[string]Remedy) (r Remedy, check string) {
	r = Replace
	for _, name := range failing {
		if rule, ok := rules[name]; ok && (check == "" || slices.Index(mildness, rule) > slices.Index(mildness, r)) {
			r, check = rule, name
		}
	}
	return r, check
}
