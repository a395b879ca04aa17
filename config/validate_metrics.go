package config

import (
	"net/url"
	"regexp"
	"time"
)

func (v checker) metrics(m Metrics) {
	v.positive("metrics.retention", int64(m.Retention), "15d")
	v.positive("metrics.interval", int64(m.Interval), "5s")
	switch {
	case m.Retention < Duration(2*time.Hour) && m.Retention > 0:
		v.fail("metrics.retention", "%s is below 2h, in which values are written to disk; write \"2h\" or more", m.Retention)
	case m.Detail < Duration(2*time.Hour):
		v.fail("metrics.detail", "%s is below 2h, in which values are written to disk; write \"2h\" or more", m.Detail)
	case m.Detail > m.Retention && v.has("metrics.detail"):
		v.warn("metrics.detail", "is longer than retention %s, so every value is kept until it goes", m.Retention)
	}
	if m.Interval > Duration(time.Minute) {
		v.fail("metrics.interval", "%s is above a minute, after which a policy would see what is no longer true; write \"1m\" or less", m.Interval)
	}
	if m.MaxSize > 0 && m.MaxSize < 64*MiB {
		v.fail("metrics.max_size", "%s is too small for the log of the newest values; write \"64MiB\" or more", m.MaxSize)
	}
	if p := m.Prometheus; p != nil {
		v.prometheus("metrics.prometheus", p)
	}
}

func (v checker) prometheus(path string, p *Prometheus) {
	v.positive(child(path, "timeout"), int64(p.Timeout), "5s")
	v.headers(child(path, "headers"), p.Headers)
	if v.has(child(path, "url")) {
		u, err := url.Parse(p.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			v.fail(child(path, "url"), "%q is not a URL of a server; write for example %q", shorten(p.URL), "http://127.0.0.1:9090")
		}
	}
	if p.Token != "" && p.User != "" {
		v.fail(path, "has both a token and a user; keep the one that the server asks for")
	}
	if p.User == "" && p.Password != "" {
		v.fail(child(path, "password"), "belongs to a user, and there is none; add \"user\", or write the secret as \"token\"")
	}
}

// metricName is a name that a policy may give a metric.
var metricName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// scrape checks where the targets of a pool tell their metrics.
func (v checker) scrape(path string, s *Scrape) {
	v.urlPath(child(path, "path"), s.Path)
	v.positive(child(path, "interval"), int64(s.Interval), "5s")
	v.positive(child(path, "timeout"), int64(s.Timeout), "4s")
	if s.Interval > Duration(time.Minute) {
		v.fail(child(path, "interval"), "%s is above a minute, after which a policy would see what is no longer true; write \"1m\" or less", s.Interval)
	}
	for _, name := range names(s.Names) {
		at := child(child(path, "names"), name)
		switch {
		case !metricName.MatchString(name):
			v.fail(at, "%q cannot name a metric; use letters, digits and \"_\"", shorten(name))
		case s.Names[name] == "":
			v.fail(at, "is empty; write the name of a series, such as \"my_queue_length\"")
		}
	}
}
