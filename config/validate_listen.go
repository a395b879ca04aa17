package config

import (
	"crypto/tls"
	"net"
	"net/url"
	"slices"
	"strings"
)

func (v checker) admin(a Admin) {
	const path = "admin.address"
	host, ok := v.address(path, a.Address, "127.0.0.1:9900")
	if !ok || a.Token != "" || a.TLS.ClientCA != "" || isLoopback(host) || v.failed("admin.token") || v.failedBelow("admin.tls") {
		return
	}
	v.fail(path, `%q can be reached from other machines, so it needs a token; write token: "${WEIR_TOKEN}" beside it, or the address "127.0.0.1:9900", or have clients show a certificate with tls: {cert, key, client_ca}`, a.Address)
}

func (v checker) listeners(cfg *Config) {
	type taken struct{ path, address, host, port string }
	var others []taken
	if host, port, err := net.SplitHostPort(cfg.Admin.Address); err == nil {
		others = append(others, taken{"admin.address", cfg.Admin.Address, host, port})
	}
	names := map[string]string{}
	for i, l := range cfg.Listen {
		path := item("listen", i)
		at := child(path, "address")
		v.routes(child(path, "routes"), l.Routes, cfg.Pools, names)
		v.protocols(path, l)
		v.clients(path, l)
		if l.TLS != nil {
			v.tls(child(path, "tls"), l.TLS)
		}
		if !v.has(at) {
			continue
		}
		host, port := l.Address, ""
		if isUnix(l.Address) {
			v.unix(at, l.Address)
		} else {
			var ok bool
			if host, ok = v.address(at, l.Address, ":8080"); !ok {
				continue
			}
			_, port, _ = net.SplitHostPort(l.Address)
		}
		for _, o := range others {
			if port != "0" && samePort(port, o.port) && overlap(host, o.host) {
				v.fail(at, "%q is already taken by %s (%q); give one of them another %s", l.Address, o.path, o.address, kindOfAddress(l.Address))
			}
		}
		others = append(others, taken{at, l.Address, host, port})
	}
}

// isUnix reports whether an address is a socket file.
func isUnix(address string) bool { return strings.HasPrefix(address, "unix:") }

func kindOfAddress(address string) string {
	if isUnix(address) {
		return "path"
	}
	return "port"
}

// unix checks the address of a socket file. Linux has room for 107 bytes.
func (v checker) unix(path, address string) {
	switch file := strings.TrimPrefix(address, "unix:"); {
	case !strings.HasPrefix(file, "/") && (!strings.HasPrefix(file, "@") || file == "@"):
		v.fail(path, "%q has no path from the root; write for example \"unix:/run/weir.sock\"", address)
	case len(file) > 107:
		v.fail(path, "%q has a path of %d bytes; a socket file may have 107", shorten(address), len(file))
	case strings.ContainsRune(file, 0):
		v.fail(path, "%q has a zero byte, which no path may have; remove it", shorten(address))
	}
}

// protocols checks that a listener can speak what it is asked to.
func (v checker) protocols(path string, l Listen) {
	list := child(path, "protocols")
	plain := l.TLS == nil && !v.has(child(path, "tls"))
	for i, p := range l.Protocols {
		at := v.mentioned(item(list, i), list)
		switch {
		case slices.Index(l.Protocols, p) < i:
			v.fail(at, "%q is there twice; remove one", p)
		case plain && p == ProtocolH2:
			v.fail(at, "\"h2\" is HTTP/2 over TLS, and this listener has no tls; write \"h2c\", or add tls: {certificates: [{cert: site.pem, key: site-key.pem}]}")
		case plain && p == ProtocolH3:
			v.fail(at, "\"h3\" is always encrypted, and this listener has no tls; add tls: {certificates: [{cert: site.pem, key: site-key.pem}]}")
		case !plain && p == ProtocolH2C:
			v.fail(at, "\"h2c\" is HTTP/2 without TLS, and this listener has tls; write \"h2\"")
		case p == ProtocolH3 && isUnix(l.Address):
			v.fail(at, "\"h3\" runs over UDP, which a socket file cannot; remove it")
		}
	}
	if l.Engine == EngineLoop {
		at := child(path, "engine")
		switch {
		case !plain:
			v.fail(at, "the loop moves plain HTTP/1.1, and this listener has tls; write \"auto\", or remove it")
		case len(l.Protocols) > 0 && !slices.Contains(l.Protocols, ProtocolH1):
			v.fail(at, "the loop moves HTTP/1.1, which this listener does not speak; write \"auto\", or remove it")
		}
	}
}

// clients checks whom a listener lets in.
func (v checker) clients(path string, l Listen) {
	if isUnix(l.Address) {
		for _, key := range []string{"allow", "deny"} {
			if at := child(path, key); v.has(at) && l.ProxyProtocol == nil {
				v.fail(at, "clients of a socket file have no address; set the permissions of its directory instead")
			}
		}
	}
	for i, n := range l.TrustedProxies {
		if n.Bits() == 0 {
			v.warn(item(child(path, "trusted_proxies"), i), "%s believes every client about its own address; write the networks of your proxies", n)
		}
	}
	for i, n := range l.Allow {
		for j, d := range l.Deny {
			if d.Bits() <= n.Bits() && d.Contains(n.Addr()) {
				v.warn(item(child(path, "allow"), i), "all of %s is refused by %s (%s); remove one of them", n, item(child(path, "deny"), j), d)
			}
		}
	}
}

func (v checker) tls(path string, t *TLS) {
	acme := child(path, "acme")
	switch {
	case !v.has(child(path, "certificates")) && !v.has(acme):
		if !v.failedBelow(path) {
			v.fail(path, "has no certificate; write certificates: [{cert: site.pem, key: site-key.pem}] for files, or acme: {domains: [www.example.com]} to obtain one")
		}
	case t.ACME != nil:
		v.acme(acme, t.ACME)
	}
	for i, name := range t.Ciphers {
		v.cipher(item(child(path, "ciphers"), i), name, t.MinVersion)
	}
}

func (v checker) acme(path string, a *ACME) {
	for i, domain := range a.Domains {
		list := child(path, "domains")
		at := v.mentioned(item(list, i), list)
		switch {
		case strings.Contains(domain, "*"):
			v.fail(at, "%q needs a proof in DNS, which Weir does not give; list the names, or obtain the certificate elsewhere and name its files in certificates", domain)
		case !isHostname(domain) || domain == "":
			v.fail(at, "%q is not a host name; write for example \"www.example.com\"", domain)
		case slices.Index(a.Domains, domain) < i:
			v.fail(at, "%q is there twice; remove one", domain)
		}
	}
	if a.Email != "" && !strings.Contains(strings.Trim(a.Email, "@"), "@") {
		v.fail(child(path, "email"), "%q is not an address; write for example \"ops@example.com\"", a.Email)
	}
	if a.Directory != "" {
		v.url(child(path, "directory"), a.Directory, "https://acme-v02.api.letsencrypt.org/directory", "https")
	}
}

// url checks an absolute URL of one of the schemes.
func (v checker) url(path, text, example string, schemes ...string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme == "":
		v.fail(path, "%q is not a URL; write for example %q", text, example)
	case !slices.Contains(schemes, u.Scheme):
		v.fail(path, "%q has the scheme %q; write %s, as in %q", text, u.Scheme, strings.Join(schemes, " or "), example)
	}
}

// cipher checks the name of a cipher suite for TLS 1.2.
func (v checker) cipher(path, name, minVersion string) {
	var known []string
	for _, c := range tls.CipherSuites() {
		switch tls12 := slices.Contains(c.SupportedVersions, uint16(tls.VersionTLS12)); {
		case c.Name == name && !tls12:
			v.fail(path, "%s is of TLS 1.3, whose suites are fixed; remove it", name)
			return
		case !tls12:
		case (c.Name == name || opensslName(c.Name) == name) && minVersion == "1.3":
			v.fail(path, "%s is of TLS 1.2, which min_version refuses; remove it", name)
			return
		case c.Name == name || opensslName(c.Name) == name:
			return
		default:
			known = append(known, c.Name)
		}
	}
	for _, c := range tls.InsecureCipherSuites() {
		if c.Name == name {
			v.fail(path, "%s is broken and not offered; %s", name, didYouMean("", known))
			return
		}
	}
	v.fail(path, "%q is not a cipher suite; %s", name, didYouMean(name, known))
}

// opensslName is what OpenSSL, and with it nginx and HAProxy, calls a suite
// of TLS 1.2.
func opensslName(iana string) string {
	return strings.NewReplacer(
		"TLS_", "", "_WITH_", "-", "AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
		"POLY1305_SHA256", "POLY1305", "_", "-",
	).Replace(iana)
}

// accessLog checks which fields are left out.
func (v checker) accessLog(l *AccessLog) {
	const at = "access_log.omit"
	if len(l.Omit) > 0 && l.Format == "combined" {
		v.fail(at, "the combined format has a fixed form; write format: json, or remove it")
		return
	}
	for i, name := range l.Omit {
		if known := AccessFields(); !slices.Contains(known, name) {
			v.fail(v.mentioned(item(at, i), at), "%q is not a field of the access log; %s", name, didYouMean(name, known))
		}
	}
}

// tracing checks where spans go.
func (v checker) tracing(t *Tracing) {
	if at := "tracing.endpoint"; v.has(at) {
		v.url(at, t.Endpoint, "http://127.0.0.1:4318", "http", "https")
	}
}

// sessionKeys checks the secrets. It never shows them.
func (v checker) sessionKeys(keys []string) {
	for i, key := range keys {
		at := item("session_keys", i)
		switch {
		case len(key) < 16:
			v.fail(at, "is shorter than the 16 letters that make it hard to guess; \"openssl rand -base64 32\" gives a good one")
		case slices.Index(keys, key) < i:
			v.fail(at, "is the same as %s; remove one", item("session_keys", slices.Index(keys, key)))
		}
	}
}
