// Package certs holds what a TLS listener shows and asks for: certificates by name, which clients may come in, session tickets.
// All of it can be replaced while connections come and go.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a Store serves. The zero value of each field is a good choice, except that there must be Files or an Issuer.
type Options struct {
	// Files are the certificates with their keys. The first one serves clients that name no host, or one that no certificate is for.
	Files []Pair
	// Issuer gets certificates by itself; it is asked for names that no file covers.
	Issuer Issuer
	// MinVersion is tls.VersionTLS12, the default, or tls.VersionTLS13.
	MinVersion uint16
	// Ciphers are the suites for TLS 1.2, as crypto/tls or OpenSSL name them. Those of TLS 1.3 cannot be chosen. Empty: all
	// that authenticate what they encrypt.
	Ciphers []string
	// Curves are the key exchanges; empty: those of crypto/tls, which prefer the hybrid X25519MLKEM768.
	Curves []tls.CurveID
	// Protocols are offered by ALPN, most wanted first, e.g. "h2", "http/1.1".
	Protocols []string
	// Client asks clients for certificates; nil: none are asked for.
	Client *ClientAuth
	// Rotate is the age at which a new key for session tickets begins; tickets of the two keys before it stay good. 0: 12 h.
	Rotate time.Duration
	// Tickets are keys that an earlier Store returned, so that its sessions resume here.
	Tickets [][32]byte
}

// Pair names the PEM files of a certificate, with its chain, and of its key.
type Pair struct{ Cert, Key string }

// Issuer gets certificates by itself, as ACME does.
type Issuer interface {
	// Covers says whether the issuer is in charge of a name, in lower case.
	Covers(name string) bool
	// GetCertificate is called in the handshake for names that it covers and for handshakes that only negotiate acme-tls/1.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Store is the live form of Options. Its methods may be called at the same time.
type Store struct {
	live atomic.Pointer[snapshot]

	mu      sync.Mutex // held by what replaces the snapshot
	options Options
	stamps  map[string]stamp // of the files that the last attempt read
	tickets tickets
}

// snapshot is what handshakes see; it never changes.
type snapshot struct {
	config   *tls.Config // of usual handshakes
	issuer   Issuer      // or nil
	files    []*file
	names    names
	revoked  *revocations // nil without lists
	warnings []string
}

// Open reads all files. Its errors name the file and say what to do.
func Open(o Options) (*Store, error) {
	s := &Store{}
	s.tickets.restore(o.Tickets, time.Now())
	if err := s.Set(o); err != nil {
		return nil, err
	}
	return s, nil
}

// Set changes over to other options, and reads all files again. On an error nothing changes. Tickets stay as they are.
func (s *Store) Set(o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(o)
}

// Reload reads all files again. On an error nothing changes: one bad file keeps the others as they were, too.
func (s *Store) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load(s.options)
}

// load replaces the snapshot. s.mu is held.
func (s *Store) load(o Options) error {
	s.stamps = stampsOf(o) // before reading: a change meanwhile is seen by the next look
	next, err := read(o, time.Now())
	if err != nil {
		return err
	}
	if old := s.live.Load(); old != nil && !sameClients(old.config, next.config) {
		s.tickets.forget() // a session that resumes was not checked against the new authorities
	}
	s.options = o
	s.finish(next)
	return nil
}

// finish gives a snapshot its callbacks and tickets and puts it in place. s.mu is held.
func (s *Store) finish(next *snapshot) {
	s.tickets.rotate(time.Now(), s.options.Rotate)
	next.config.SetSessionTicketKeys(s.tickets.all())
	next.config.GetCertificate = s.choose
	if next.revoked != nil {
		next.config.VerifyConnection = s.verify
	}
	s.live.Store(next)
}

// read builds a snapshot from the files of o.
func read(o Options, now time.Time) (*snapshot, error) {
	if len(o.Files) == 0 && o.Issuer == nil {
		return nil, errors.New("no certificate: name the files of one, or have one issued by ACME")
	}
	c := &tls.Config{
		MinVersion: o.MinVersion, CurvePreferences: o.Curves, NextProtos: slices.Clone(o.Protocols),
		DynamicRecordSizingDisabled: true, // small records first would help pages begin; answers of models are small or want to be done
	}
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	if c.MinVersion < tls.VersionTLS12 {
		return nil, fmt.Errorf("%s is broken; write 1.2 or 1.3", tls.VersionName(c.MinVersion))
	}
	var errs []error
	var err error
	if c.CipherSuites, err = Ciphers(o.Ciphers); err != nil {
		errs = append(errs, err)
	} else if err := suitHTTP2(c); err != nil {
		errs = append(errs, err)
	}
	next := &snapshot{config: c, issuer: o.Issuer}
	for _, p := range o.Files {
		f, err := readPair(p, now)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.files = append(next.files, f)
		next.warnings = append(next.warnings, f.warnings...)
	}
	if o.Client != nil {
		if err := next.askClients(o.Client, now); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	next.names = index(next.files)
	return next, nil
}

// Config returns the configuration for a TLS server that stays up to date by itself: every handshake sees the latest Reload.
// It answers no TLS-ALPN-01 challenge; Handshake does.
func (s *Store) Config() *tls.Config {
	c := s.live.Load().config.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.live.Load().config, nil }
	return c
}

// acmeALPN is the protocol of RFC 8737: it proves to an authority that this server is the domain's.
const acmeALPN = "acme-tls/1"

// ErrChallenge is what Handshake returns for a connection that was an authority's challenge: it is answered, and closed.
var ErrChallenge = errors.New("the connection was an ACME challenge, which is answered")

// Handshake makes c a TLS connection, within ctx. On an error c is closed. A deadline of c costs less than a context that can end.
//
// Connections of authorities that check a TLS-ALPN-01 challenge end here: they showed no client's certificate, so nothing
// may be asked over them.
func (s *Store) Handshake(ctx context.Context, c net.Conn) (*tls.Conn, error) {
	live := s.live.Load()
	config := live.config
	if live.issuer != nil {
		config = &tls.Config{
			MinVersion: live.config.MinVersion,
			GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeALPN {
					return challenge(live.issuer), nil
				}
				return live.config, nil
			},
		}
	}
	t := tls.Server(c, config)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	if live.issuer != nil && t.ConnectionState().NegotiatedProtocol == acmeALPN {
		t.Close()
		return nil, ErrChallenge
	}
	return t, nil
}

// challenge is the configuration that answers a challenge and nothing else.
func challenge(i Issuer) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{acmeALPN},
		GetCertificate: i.GetCertificate, SessionTicketsDisabled: true,
	}
}

// choose is the GetCertificate of usual handshakes.
func (s *Store) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	now := s.live.Load()
	name := canonical(hello.ServerName)
	if c := now.names.match(name, hello); c != nil {
		return c, nil
	}
	if now.issuer != nil && now.issuer.Covers(name) {
		c, err := now.issuer.GetCertificate(hello)
		if err == nil || len(now.files) == 0 {
			return c, err
		}
	}
	if len(now.files) == 0 {
		return nil, fmt.Errorf("no certificate is for %q", name)
	}
	return now.files[0].cert, nil
}

// Watch reads files again when they change on disk, and rotates the keys of session tickets, until ctx ends. It looks every
// interval, 5 s if 0.
func (s *Store) Watch(ctx context.Context, interval time.Duration, log *slog.Logger) {
	if interval <= 0 {
		interval = 5 * time.Second
	}
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.look(log)
		}
	}
}

// look is one step of Watch.
func (s *Store) look(log *slog.Logger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stamps := stampsOf(s.options); !equal(stamps, s.stamps) {
		if err := s.load(s.options); err != nil {
			log.Error("certificates have changed but cannot be used; those read before stay", "error", err)
		} else {
			log.Info("certificates were read again", "certificates", len(s.options.Files))
			for _, w := range s.live.Load().warnings {
				log.Warn(w)
			}
		}
		return
	}
	if s.tickets.due(time.Now(), s.options.Rotate) {
		next := *s.live.Load()
		next.config = next.config.Clone()
		s.finish(&next)
	}
}

// Warnings say what works but should be looked at, such as a certificate that has expired.
func (s *Store) Warnings() []string { return s.live.Load().warnings }

// Certificate is one that came from files.
type Certificate struct {
	File     string   // of the certificate
	Names    []string // it is for
	NotAfter time.Time
}

// Certificates returns those that came from files, in their order.
func (s *Store) Certificates() []Certificate {
	live := s.live.Load()
	out := make([]Certificate, len(live.files))
	for i, f := range live.files {
		out[i] = Certificate{File: f.pair.Cert, Names: f.names, NotAfter: f.cert.Leaf.NotAfter}
	}
	return out
}

// Tickets returns the keys of session tickets for the Store of a process that takes over. They are secret: whoever has them
// can read TLS 1.2 sessions that resume.
func (s *Store) Tickets() [][32]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tickets.all()
}
