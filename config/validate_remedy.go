package config

import (
	"maps"
	"slices"
)

// remedies checks what is to be done for instances that fail checks.
func (v checker) remedies(path string, p *Pool) {
	if p.Template == nil {
		v.fail(path, "is about instances that Weir launches, and this pool has none; add \"template\", or remove \"on_failure\"")
		return
	}
	if p.Health.Path == "" {
		v.fail(path, "names fields of an answer, and this check asks for none; write a path beside it, as in path: /health/ready")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.Health.OnFailure)) {
		r, at := p.Health.OnFailure[name], child(path, name)
		if !isFieldPath(name) {
			v.fail(at, "%q is not the name of a field; write one as in the answer, such as model_loaded or checks.gpu, or timeout, or other", shorten(name))
		}
		given := []string{}
		for _, key := range []string{"path", "exec", "method", "timeout"} {
			if v.has(child(at, key)) {
				given = append(given, key)
			}
		}
		switch {
		case r.Do != "reload" && len(given) > 0:
			v.fail(child(at, given[0]), "belongs to do: reload; remove it")
		case r.Do != "reload":
		case (r.Path == "") == (len(r.Exec) == 0):
			v.fail(at, "needs one way to load again: path, as in path: /load, or exec")
		case len(r.Exec) > 0 && r.Exec[0] == "":
			v.fail(item(child(at, "exec"), 0), "is empty; write the program to run")
		case r.Timeout <= 0:
			v.fail(child(at, "timeout"), "must be above 0; how long may the check go on failing?")
		}
	}
}
