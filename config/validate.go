package config

import (
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
	v.uses(cfg)
	v.sessionKeys(cfg.SessionKeys)
	if cfg.AccessLog != nil {
		v.accessLog(cfg.AccessLog)
	}
	if cfg.Tracing != nil {
		v.tracing(cfg.Tracing)
	}
	v.metrics(cfg.Metrics)
	v.positive("limits.header", int64(cfg.Limits.Header), "64KiB")
	v.positive("limits.uri", int64(cfg.Limits.URI), "8KiB")
	if cfg.Limits.URI > cfg.Limits.Header {
		v.fail(v.mentioned("limits.uri", "limits.header"), "a request target of %s does not fit into a header of %s; lower uri or raise header", cfg.Limits.URI, cfg.Limits.Header)
	}
	v.positive("timeouts.body", int64(cfg.Timeouts.Body), "30s")
	v.positive("timeouts.header", int64(cfg.Timeouts.Header), "10s")
	v.positive("timeouts.keep_alive", int64(cfg.Timeouts.KeepAlive), "75s")
	v.alarms(cfg)
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
