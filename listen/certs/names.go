package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
)

// names finds certificates by what clients ask for. A name may have several, e.g. one with an ECDSA and one with an RSA key.
type names struct {
	exact map[string][]*tls.Certificate
	wild  map[string][]*tls.Certificate // *.example.org under "example.org"
}

func index(files []*file) names {
	n := names{exact: map[string][]*tls.Certificate{}, wild: map[string][]*tls.Certificate{}}
	for _, f := range files {
		for _, name := range f.names {
			if parent, ok := strings.CutPrefix(name, "*."); ok {
				n.wild[parent] = append(n.wild[parent], f.cert)
			} else {
				n.exact[name] = append(n.exact[name], f.cert)
			}
		}
	}
	return n
}

// match returns the certificate for a name, or nil: the exact name before the wildcard, which stands for one label (RFC 9525,
// section 6.3). Among several it is the first that the client can check.
func (n names) match(name string, hello *tls.ClientHelloInfo) *tls.Certificate {
	if name == "" {
		return nil
	}
	found := n.exact[name]
	if found == nil {
		if _, parent, ok := strings.Cut(name, "."); ok {
			found = n.wild[parent]
		}
	}
	if len(found) == 0 {
		return nil
	}
	if len(found) > 1 {
		for _, c := range found {
			if hello.SupportsCertificate(c) == nil {
				return c
			}
		}
	}
	return found[0]
}

// canonical is a server name as the index has it.
func canonical(name string) string {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			return strings.ToLower(strings.TrimSuffix(name, "."))
		}
	}
	return strings.TrimSuffix(name, ".")
}

// namesOf returns the names and addresses a certificate is for, in lower case. The common name is none: clients have ceased to
// look at it.
func namesOf(c *x509.Certificate) []string {
	var out []string
	for _, name := range c.DNSNames {
		out = append(out, canonical(name))
	}
	for _, ip := range c.IPAddresses {
		out = append(out, ip.String())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// firstCertificate says what the first certificate of a PEM file is for.
func firstCertificate(b []byte) (*described, error) {
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if p.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(p.Bytes)
		if err != nil {
			return nil, err
		}
		return &described{c}, nil
	}
	return nil, errors.New("no certificate")
}

// described is a certificate that prints as what it is for.
type described struct{ *x509.Certificate }

func (d described) String() string {
	if n := namesOf(d.Certificate); len(n) > 0 {
		return strings.Join(n, ", ")
	}
	return d.Subject.String()
}

// matches says whether a certificate is for the key in a PEM file. It is true when that cannot be told.
func matches(c *described, key []byte) bool {
	for p, rest := pem.Decode(key); p != nil; p, rest = pem.Decode(rest) {
		var k any
		var err error
		if k, err = x509.ParsePKCS8PrivateKey(p.Bytes); err != nil {
			if k, err = x509.ParseECPrivateKey(p.Bytes); err != nil {
				if k, err = x509.ParsePKCS1PrivateKey(p.Bytes); err != nil {
					continue
				}
			}
		}
		signer, ok := k.(crypto.Signer)
		if !ok {
			return true
		}
		public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		return !ok || public.Equal(signer.Public())
	}
	return true
}
