package certs

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ClientAuth says which clients may come in.
type ClientAuth struct {
	// CAs are PEM files of the authorities that issue clients' certificates, with intermediates that clients may not send.
	CAs []string
	// CRLs are PEM or DER files of revoked certificates, each signed by one of the authorities. Only authorities with a list are
	// checked against one.
	CRLs []string
	// Require refuses clients without a certificate. Without it they are let in unnamed; a certificate that is shown must be good
	// either way.
	Require bool
}

// askClients puts c's authorities and lists into the snapshot.
func (s *snapshot) askClients(c *ClientAuth, now time.Time) error {
	var errs []error
	if len(c.CAs) == 0 {
		errs = append(errs, errors.New("client certificates: no authority is named; write the file of the one that issues them"))
	}
	pool := x509.NewCertPool()
	var authorities []*x509.Certificate
	for _, path := range c.CAs {
		found, err := readAuthorities(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, a := range found {
			pool.AddCert(a)
			if now.After(a.NotAfter) {
				s.warnings = append(s.warnings, fmt.Sprintf("client authority %s: %s expired on %s, so no certificate that it issued is accepted; renew it", path, a.Subject, a.NotAfter.Format(time.DateOnly)))
			}
		}
		authorities = append(authorities, found...)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.config.ClientCAs = pool
	s.config.ClientAuth = tls.VerifyClientCertIfGiven
	if c.Require {
		s.config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if len(c.CRLs) == 0 {
		return nil
	}
	s.revoked = &revocations{}
	for _, path := range c.CRLs {
		w, err := s.revoked.read(path, authorities, now)
		if err != nil {
			errs = append(errs, err)
		} else if w != "" {
			s.warnings = append(s.warnings, w)
		}
	}
	return errors.Join(errs...)
}

func readAuthorities(path string) ([]*x509.Certificate, error) {
	b, err := readFile(path, "client authorities")
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if p.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(p.Bytes)
		if err != nil {
			return nil, fmt.Errorf("client authority %s: certificate %d: %w", path, len(out)+1, err)
		}
		if !c.IsCA {
			return nil, fmt.Errorf("client authority %s: %s is not an authority (CA:FALSE); write the file of the one that issued it", path, c.Subject)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("client authority %s: the file has no CERTIFICATE block; write a PEM file", path)
	}
	return out, nil
}

// sameClients says whether two configurations let the same clients in.
func sameClients(a, b *tls.Config) bool {
	if a.ClientAuth != b.ClientAuth || (a.ClientCAs == nil) != (b.ClientCAs == nil) {
		return false
	}
	return a.ClientCAs == nil || a.ClientCAs.Equal(b.ClientCAs)
}

// revocations are the serial numbers that authorities have revoked, by the digest of the authority's key: names can be alike.
type revocations map[[sha256.Size]byte]map[string]bool

func keyOf(c *x509.Certificate) [sha256.Size]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

var (
	oidDelta  = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuer = asn1.ObjectIdentifier{2, 5, 29, 29} // of an entry, in lists for several authorities
)

// read adds the lists of a file. A list that is past its next update still counts: without it, what it revokes would be let in.
func (r revocations) read(path string, authorities []*x509.Certificate, now time.Time) (warning string, err error) {
	b, err := readFile(path, "a list of revoked certificates")
	if err != nil {
		return "", err
	}
	var lists [][]byte
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if p.Type == "X509 CRL" {
			lists = append(lists, p.Bytes)
		}
	}
	if lists == nil {
		lists = [][]byte{b} // DER
	}
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return "", fmt.Errorf("revoked certificates %s: %w; write a list in PEM (X509 CRL) or DER", path, err)
		}
		if err := r.add(list, authorities); err != nil {
			return "", fmt.Errorf("revoked certificates %s: %w", path, err)
		}
		if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
			warning = fmt.Sprintf("revoked certificates %s: a newer list was due on %s; certificates revoked since are still accepted; fetch the new list", path, list.NextUpdate.Format(time.RFC3339))
		}
	}
	return warning, nil
}

func (r revocations) add(list *x509.RevocationList, authorities []*x509.Certificate) error {
	for _, e := range list.Extensions {
		if e.Id.Equal(oidDelta) {
			return errors.New("it is a delta list; write the complete one")
		}
	}
	signed := false
	for _, a := range authorities {
		if string(a.RawSubject) != string(list.RawIssuer) || list.CheckSignatureFrom(a) != nil {
			continue
		}
		signed = true
		serials := r[keyOf(a)]
		if serials == nil {
			serials = map[string]bool{}
			r[keyOf(a)] = serials
		}
		for _, e := range list.RevokedCertificateEntries {
			for _, x := range e.Extensions {
				if x.Id.Equal(oidIssuer) {
					return errors.New("it is an indirect list, with entries of other authorities; write one list for each authority")
				}
			}
			serials[string(e.SerialNumber.Bytes())] = true
		}
		break
	}
	if !signed {
		return fmt.Errorf("none of the client authorities has signed the list of %s; add that authority, or take the list of one that is there", list.Issuer)
	}
	return nil
}

// revoked says whether a certificate of the chain, whose last is the root, is revoked by its issuer.
func (r revocations) revoked(chain []*x509.Certificate) bool {
	for i := range len(chain) - 1 {
		if serials := r[keyOf(chain[i+1])]; serials[string(chain[i].SerialNumber.Bytes())] {
			return true
		}
	}
	return false
}

// verify refuses revoked clients, resumed sessions included.
func (s *Store) verify(state tls.ConnectionState) error {
	r := s.live.Load().revoked
	if r == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	for _, chain := range state.VerifiedChains {
		if !r.revoked(chain) {
			return nil
		}
	}
	c := state.PeerCertificates[0]
	return fmt.Errorf("the client's certificate %s (%s) is revoked", c.SerialNumber, printable(c.Subject.String()))
}

// Client is who a verified certificate says the client is. Its strings are printable ASCII without commas in names, so that they can
// go into header fields and lists as they are.
type Client struct {
	Subject     string // distinguished name, RFC 2253
	Issuer      string
	Serial      string   // hexadecimal
	Fingerprint string   // SHA-256 of the certificate, hexadecimal
	DNS         []string // subjectAltName, by kind
	Email       []string
	URI         []string // a SPIFFE ID, for one
	IP          []string
	NotAfter    time.Time
}

// Identity returns the verified client of a connection; ok is false for one that showed no certificate.
func Identity(state *tls.ConnectionState) (_ Client, ok bool) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return Client{}, false
	}
	c := state.VerifiedChains[0][0]
	sum := sha256.Sum256(c.Raw)
	id := Client{
		Subject: printable(c.Subject.String()), Issuer: printable(c.Issuer.String()),
		Serial: hex.EncodeToString(c.SerialNumber.Bytes()), Fingerprint: hex.EncodeToString(sum[:]), NotAfter: c.NotAfter,
	}
	for _, n := range c.DNSNames {
		id.DNS = append(id.DNS, item(n))
	}
	for _, n := range c.EmailAddresses {
		id.Email = append(id.Email, item(n))
	}
	for _, u := range c.URIs {
		id.URI = append(id.URI, item(u.String()))
	}
	for _, ip := range c.IPAddresses {
		id.IP = append(id.IP, ip.String())
	}
	return id, true
}

// printable writes bytes that do not belong into a header field as \XX, as RFC 4514 does in names.
func printable(s string) string { return escape(s, "") }

// item is printable, and cannot be taken for two items of a list.
func item(s string) string { return escape(s, ",;\" ") }

func escape(s, also string) string {
	const hexadecimal = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(also, c) >= 0 {
			b.WriteByte('\\')
			b.WriteByte(hexadecimal[c>>4])
			b.WriteByte(hexadecimal[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
