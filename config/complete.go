package config

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
)

// complete fills in the defaults that depend on other keys.
func complete(r *report, cfg *Config) {
	for i := range cfg.Listen {
		completeListen(r, item("listen", i), cfg, &cfg.Listen[i])
	}
	nameRoutes(cfg)
	completeAlarms(cfg)
	for name, p := range cfg.Pools {
		completePool(r, child("pools", name), p)
	}
}

func completeListen(r *report, path string, cfg *Config, l *Listen) {
	if !r.has(child(path, "protocols")) {
		l.Protocols = []string{ProtocolH1, ProtocolH2C}
		if l.TLS != nil {
			l.Protocols = []string{ProtocolH1, ProtocolH2}
		}
	}
	if l.TLS != nil && l.TLS.ACME != nil && l.TLS.ACME.Storage == "" {
		l.TLS.ACME.Storage = filepath.Join(cfg.State, "acme")
	}
	for i := range l.Routes {
		for j := range l.Routes[i].RateLimits {
			if limit := &l.Routes[i].RateLimits[j]; limit.Burst == 0 {
				limit.Burst = max(1, int(min(math.Ceil(float64(limit.Rate)), math.MaxInt32)))
			}
		}
	}
}

// nameRoutes gives every route without a name one that says what it matches,
// such as "api.example.com/v1/*" or ":8080/*". Where several match the same
// host and path, "#2" and so on tells them apart.
func nameRoutes(cfg *Config) {
	taken := map[string]bool{}
	for _, l := range cfg.Listen {
		for _, route := range l.Routes {
			taken[route.Name] = true
		}
	}
	for i := range cfg.Listen {
		l := &cfg.Listen[i]
		for j := range l.Routes {
			route := &l.Routes[j]
			if route.Name != "" {
				continue
			}
			host, path := route.Host, route.Path
			if host == "" || host == "*" {
				host = l.Address
			}
			if path == "" || path == "*" {
				path = "/*"
			}
			base := strings.ToLower(host) + path
			route.Name = base
			for n := 2; taken[route.Name]; n++ {
				route.Name = fmt.Sprintf("%s#%d", base, n)
			}
			taken[route.Name] = true
		}
	}
}

func completePool(r *report, path string, p *Pool) {
	completePreset(r, path, p)
	if h := p.Health; h != nil && !r.has(child(child(path, "health"), "interval")) {
		h.Interval = DefaultTargetInterval
		if p.Template != nil {
			h.Interval = DefaultInstanceInterval
		}
	}
	if q := &p.Queue; !r.has(child(child(path, "queue"), "max_wait")) {
		switch q.Order {
		case OrderShortestFirst:
			q.MaxWait = q.Timeout / 2
		case OrderDeadline:
			q.MaxWait = q.Timeout
		}
	}
	switch {
	case p.Balance == PrefixAffinity && p.Prefix == nil:
		p.Prefix = new(DefaultPrefix())
	case p.Balance == LeastUtilization && p.Utilization == nil:
		p.Utilization = new(DefaultUtilization())
	}
	if p.Template == nil {
		return
	}
	if p.Scale == nil {
		p.Scale = new(DefaultScale())
	}
	completeScale(r, child(path, "scale"), p.Scale)
	if w := p.Template.WarmUp; w != nil && w.Method == "" {
		w.Method = "GET"
		if w.Body != "" {
			w.Method = "POST"
		}
	}
}
