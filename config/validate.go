package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// validate checks what one key alone cannot show. Everything it says is at
// the place of the file that can mend it.
func validate(r *report, cfg *Config) {
	v := checker{r}
	v.admin(cfg.Admin)
	v.listeners(cfg)
	v.unused(cfg)
	v.positive("limits.header", int64(cfg.Limits.Header), "64KiB")
	v.positive("limits.uri", int64(cfg.Limits.URI), "8KiB")
	if cfg.Limits.URI > cfg.Limits.Header {
		v.fail(v.mentioned("limits.uri", "limits.header"), "a request target of %s does not fit into a header of %s; lower uri or raise header", cfg.Limits.URI, cfg.Limits.Header)
	}
	v.positive("timeouts.header", int64(cfg.Timeouts.Header), "10s")
	v.positive("timeouts.keep_alive", int64(cfg.Timeouts.KeepAlive), "75s")
	for name, p := range cfg.Pools {
		v.pool(child("pools", name), name, p)
	}
}

// checker has one method for each part of a file.
type checker struct{ *report }

// fail records an error unless its path has one already.
func (v checker) fail(path, format string, args ...any) {
	if !v.failed(path) {
		v.report.fail(path, format, args...)
	}
}

// mentioned gives the first of paths that the file has, or else the first.
func (v checker) mentioned(paths ...string) string {
	for _, p := range paths {
		if v.has(p) {
			return p
		}
	}
	return paths[0]
}

// positive refuses 0 where it does not stand for "no limit".
func (v checker) positive(path string, n int64, example string) {
	if n <= 0 {
		v.fail(path, "0 is too small; write for example %q", example)
	}
}

func (v checker) admin(a Admin) {
	const path = "admin.address"
	host, ok := v.address(path, a.Address, "127.0.0.1:9900")
	if !ok || a.Token != "" || v.failed("admin.token") || isLoopback(host) {
		return
	}
	v.fail(path, `%q can be reached from other machines, so it needs a token; write token: "${WEIR_TOKEN}" beside it, or the address "127.0.0.1:9900"`, a.Address)
}

func (v checker) listeners(cfg *Config) {
	type taken struct{ path, address, host, port string }
	var others []taken
	if host, port, err := net.SplitHostPort(cfg.Admin.Address); err == nil {
		others = append(others, taken{"admin.address", cfg.Admin.Address, host, port})
	}
	for i, l := range cfg.Listen {
		path := item("listen", i)
		at := child(path, "address")
		v.routes(child(path, "routes"), l.Routes, cfg.Pools)
		if !v.has(at) {
			continue
		}
		host, ok := v.address(at, l.Address, ":8080")
		if !ok {
			continue
		}
		_, port, _ := net.SplitHostPort(l.Address)
		for _, o := range others {
			if port != "0" && samePort(port, o.port) && overlap(host, o.host) {
				v.fail(at, "%q is already taken by %s (%q); give one of them another port", l.Address, o.path, o.address)
			}
		}
		others = append(others, taken{at, l.Address, host, port})
	}
}

func (v checker) routes(path string, routes []Route, pools map[string]*Pool) {
	type match struct{ host, path string }
	first := map[match]int{}
	for i, route := range routes {
		at := item(path, i)
		v.host(child(at, "host"), route.Host)
		v.routePath(child(at, "path"), route.Path)
		if to := child(at, "pool"); v.has(to) && pools[route.Pool] == nil && len(pools) > 0 {
			v.fail(to, "there is no pool %q; %s", route.Pool, didYouMean(route.Pool, names(pools)))
		}
		if v.failedBelow(at) {
			continue
		}
		m := match{strings.TrimPrefix(strings.ToLower(route.Host), "*"), route.Path}
		if m.path == "" || m.path == "/*" {
			m.path = "*"
		}
		if j, ok := first[m]; ok {
			same := "leads to the same pool; remove this one"
			if routes[j].Pool != route.Pool {
				same = fmt.Sprintf("leads to %q, so this one never matches; remove one, or give it another host or path", routes[j].Pool)
			}
			v.fail(at, "%s matches the same requests and %s", item(path, j), same)
			continue
		}
		first[m] = i
	}
}

// host checks what a route may match; "*.example.com" is the one wildcard.
func (v checker) host(path, host string) {
	name := strings.TrimPrefix(host, "*.")
	switch _, ipErr := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "" || host == "*" || ipErr == nil:
	case strings.Contains(name, "://"):
		v.fail(path, "%q is a URL; write the host alone, as in \"api.example.com\"", host)
	case strings.Contains(name, "*"):
		v.fail(path, "%q has a * that is not at its front; write \"*.example.com\" for every name below example.com", host)
	case strings.Contains(name, ":"):
		v.fail(path, "%q has a port; write the host alone, it matches on every port", host)
	case strings.Contains(name, "/"):
		v.fail(path, "%q has a path; write that as the key \"path\"", host)
	case !isHostname(name):
		v.fail(path, "%q is not a host name; write for example \"api.example.com\"", host)
	}
}

func (v checker) routePath(path, pattern string) {
	switch {
	case pattern == "" || pattern == "*":
	case !strings.HasPrefix(pattern, "/"):
		v.fail(path, "%q does not begin with a slash; write %q", pattern, "/"+pattern)
	case strings.Contains(strings.TrimSuffix(pattern, "*"), "*"):
		v.fail(path, "%q has a * that is not at its end; write \"/v1/*\" for everything below /v1/", pattern)
	case strings.ContainsAny(pattern, "?#"):
		v.fail(path, "%q goes beyond the path; routes match without what follows ? or #", pattern)
	case strings.ContainsFunc(pattern, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		v.fail(path, "%q has a space or a control character; write it as %%20 and the like", pattern)
	}
}

// unused warns of pools that no route uses.
func (v checker) unused(cfg *Config) {
	used := map[string]bool{}
	for _, l := range cfg.Listen {
		for _, route := range l.Routes {
			used[route.Pool] = true
		}
	}
	for _, name := range names(cfg.Pools) {
		if !used[name] {
			v.warn(child("pools", name), "no route uses this pool, so it takes no traffic; add a route with pool: %s, or remove it", name)
		}
	}
}

// address checks "host:port" and gives its host. Addresses to listen on may
// have no host, and port 0 for any free one.
func (v checker) address(path, address, example string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	_, ipErr := netip.ParseAddr(host)
	switch {
	case strings.Contains(address, "://"):
		v.fail(path, "%q is a URL; write host and port alone, as in %q", address, example)
	case strings.Contains(address, "/"):
		v.fail(path, "%q has a path; write host and port alone, as in %q", address, example)
	case err != nil && strings.Count(address, ":") > 1:
		v.fail(path, "%q is not host:port; an IPv6 address goes in brackets, as in \"[::1]:8080\"", address)
	case err != nil:
		v.fail(path, "%q has no port; write for example %q", address, withPort(address, example))
	case portErr != nil:
		v.fail(path, "%q has the port %q; a port is a number from 1 to 65535", address, port)
	case example == exampleTarget && n == 0:
		v.fail(path, "%q has the port 0; a target listens on a port from 1 to 65535", address)
	case example == exampleTarget && host == "":
		v.fail(path, "%q has no host; write for example %q", address, "127.0.0.1"+address)
	case host != "" && ipErr != nil && !isHostname(host):
		v.fail(path, "%q has the host %q, which is neither an IP address nor a name; write for example %q", address, host, example)
	default:
		return host, true
	}
	return host, false
}

// exampleTarget is the example for addresses to connect to.
const exampleTarget = "127.0.0.1:9001"

// withPort makes an address of one that lacks its port, or its host.
func withPort(address, example string) string {
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		return ":" + address
	}
	if isHostname(address) {
		return address + example[strings.LastIndexByte(example, ':'):]
	}
	return example
}

// isHostname reports whether s can be a name in DNS: at most 253 characters
// in labels of 1 to 63 letters, digits, "-" and "_".
func isHostname(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !isName(label) || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return len(s) <= 253
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// samePort compares ports that were written with different leading zeros.
func samePort(a, b string) bool { return strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0") }

// overlap reports whether two hosts cannot be listened on side by side.
func overlap(a, b string) bool {
	every := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	return strings.EqualFold(a, b) || every(a) || every(b)
}
