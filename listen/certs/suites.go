package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// openssl are the names that nginx and HAProxy files use for the suites of TLS 1.2 that are worth having.
var openssl = map[string]uint16{
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
	"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
	"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
	"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
}

// Ciphers returns the suites of TLS 1.2 with these names, those of crypto/tls or of OpenSSL. Which of them a connection gets is
// crypto/tls's choice, whatever their order. Without names it is all that authenticate what they encrypt: crypto/tls also has suites with
// CBC, for clients of 2013 and older, which scanners rightly object to.
func Ciphers(list []string) ([]uint16, error) {
	if len(list) == 0 {
		return []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}, nil
	}
	var out []uint16
	for _, name := range list {
		id, err := cipher(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out, nil
}

func cipher(name string) (uint16, error) {
	upper := strings.ToUpper(name)
	if id, ok := openssl[upper]; ok {
		return id, nil
	}
	for _, s := range tls.CipherSuites() {
		if s.Name != upper {
			continue
		}
		if !slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			return 0, fmt.Errorf("cipher %s: it is one of TLS 1.3, which are always on; name suites of TLS 1.2 only", name)
		}
		return s.ID, nil
	}
	for _, s := range tls.InsecureCipherSuites() {
		if s.Name == upper {
			return 0, fmt.Errorf("cipher %s: it is broken; use one of %s", name, secure())
		}
	}
	return 0, fmt.Errorf("cipher %s: there is none of that name; write one of %s", name, secure())
}

// secure are the names to choose from.
func secure() string {
	var out []string
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
			out = append(out, s.Name)
		}
	}
	return strings.Join(out, ", ")
}

// suitHTTP2 refuses suites with which no HTTP/2 connection over TLS 1.2 is allowed (RFC 9113, section 9.2.2).
func suitHTTP2(c *tls.Config) error {
	if c.CipherSuites == nil || c.MinVersion >= tls.VersionTLS13 || !slices.Contains(c.NextProtos, "h2") {
		return nil
	}
	for _, id := range c.CipherSuites {
		if id == tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 || id == tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {
			return nil
		}
	}
	return errors.New("ciphers: HTTP/2 needs TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; add the one that fits the certificate's key, or turn HTTP/2 off")
}
