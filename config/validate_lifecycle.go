package config

import (
	"net/url"
	"time"
)

// lifecycle checks what happens to the instances of a pool.
func (v checker) lifecycle(path string, p *Pool) {
	if p.Template == nil {
		v.fail(path, "is about instances that Weir launches, and this pool has none; add \"template\", or remove \"lifecycle\"")
		return
	}
	if d := time.Duration(p.Lifecycle.MaxLifetime); d > 0 && d < time.Minute {
		v.warn(child(path, "max_lifetime"), "%v means that every instance is replaced so often; in EC2 Auto Scaling it is at least a day", p.Lifecycle.MaxLifetime)
	}
	type key struct{ on, name string }
	seen := map[key]bool{}
	for i, h := range p.Lifecycle.Hooks {
		at := item(child(path, "hooks"), i)
		if k := (key{h.On, h.Name}); h.Name != "" && seen[k] {
			v.fail(child(at, "name"), "there are two %s hooks named %q; give each a name of its own", h.On, shorten(h.Name))
		} else {
			seen[k] = true
		}
		if h.Name != "" && !isName(h.Name) {
			v.fail(child(at, "name"), "%q cannot name a hook; use letters, digits, \"-\" or \"_\"", shorten(h.Name))
		}
		if v.has(child(at, "exec")) && v.has(child(at, "webhook")) {
			v.fail(at, "has both webhook and exec; write each as an item of its own")
		}
		if len(h.Exec) > 0 && h.Exec[0] == "" {
			v.fail(item(child(at, "exec"), 0), "is empty; write the program to run")
		}
		if w := h.Webhook; w != nil {
			if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				v.fail(child(child(at, "webhook"), "url"), "%q is not a URL to send to; write one such as \"https://example.com/launched\"", shorten(w.URL))
			}
			v.headers(child(child(at, "webhook"), "headers"), w.Headers)
		}
		if d := time.Duration(h.Timeout); d < time.Second || d > 2*time.Hour {
			v.fail(child(at, "timeout"), "%v is not from 1s to 2h; a hook that takes longer sends heartbeats", h.Timeout)
		}
	}
}
