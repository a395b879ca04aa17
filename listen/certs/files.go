package certs

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"
)

// file is a certificate that came from files.
type file struct {
	pair     Pair
	cert     *tls.Certificate
	names    []string // in lower case
	warnings []string
}

// soon is how long before its end a certificate from a file is warned of.
const soon = 7 * 24 * time.Hour

// readPair reads a certificate and its key.
func readPair(p Pair, now time.Time) (*file, error) {
	chain, err := readFile(p.Cert, "a certificate")
	if err != nil {
		return nil, err
	}
	key, err := readFile(p.Key, "a key")
	if err != nil {
		return nil, err
	}
	if !holds(chain, "CERTIFICATE") {
		return nil, fmt.Errorf("certificate %s: the file has no CERTIFICATE block; write the PEM file of the certificate with its chain", p.Cert)
	}
	if holds(key, "ENCRYPTED PRIVATE KEY") || bytes.Contains(key, []byte("Proc-Type: 4,ENCRYPTED")) {
		return nil, fmt.Errorf("key %s: the key is encrypted; decrypt it with `openssl pkey -in %s -out KEY` and keep it readable by Weir alone", p.Key, p.Key)
	}
	if !holds(key, "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY") {
		return nil, fmt.Errorf("key %s: the file has no PRIVATE KEY block; write the PEM file of the certificate's key", p.Key)
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		if c, e := firstCertificate(chain); e == nil && !matches(c, key) {
			return nil, fmt.Errorf("certificate %s: the key in %s does not match the certificate for %s; name the key that it was issued for, and put the server's certificate before its chain", p.Cert, p.Key, c)
		}
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.Cert, p.Key, err)
	}
	f := &file{pair: p, cert: &c, names: namesOf(c.Leaf)}
	if len(f.names) == 0 {
		f.warnings = append(f.warnings, fmt.Sprintf("certificate %s: it is for no host name (no subjectAltName), so clients will refuse it; have it issued with the names it serves", p.Cert))
	}
	switch end := c.Leaf.NotAfter; {
	case now.After(end):
		f.warnings = append(f.warnings, fmt.Sprintf("certificate %s: expired on %s, so clients will refuse it; renew it", p.Cert, end.Format(time.DateOnly)))
	case now.Before(c.Leaf.NotBefore):
		f.warnings = append(f.warnings, fmt.Sprintf("certificate %s: not valid before %s; check this machine's clock", p.Cert, c.Leaf.NotBefore.Format(time.RFC3339)))
	case end.Sub(now) < soon:
		f.warnings = append(f.warnings, fmt.Sprintf("certificate %s: expires on %s; renew it", p.Cert, end.Format(time.RFC3339)))
	}
	return f, nil
}

// readFile reads a file whose errors say what to do.
func readFile(path, what string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		return b, nil
	case path == "":
		return nil, fmt.Errorf("%s has no file; write its path", what)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("reading %s: there is no file %s; write the path of %s", what, path, what)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("reading %s: no permission to read %s; let the user that Weir runs as read it", what, path)
	}
	return nil, fmt.Errorf("reading %s: %w", what, err)
}

// holds says whether a PEM file has a block of one of the types.
func holds(b []byte, types ...string) bool {
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		if slices.Contains(types, p.Type) {
			return true
		}
	}
	return false
}

// stamp tells whether a file is another than before, without reading it.
type stamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

func stampsOf(o Options) map[string]stamp {
	out := map[string]stamp{}
	add := func(paths ...string) {
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				out[p] = stamp{} // what is gone is a change, too
				continue
			}
			out[p] = stamp{info.ModTime(), info.Size(), inode(info)}
		}
	}
	for _, p := range o.Files {
		add(p.Cert, p.Key)
	}
	if o.Client != nil {
		add(o.Client.CAs...)
		add(o.Client.CRLs...)
	}
	return out
}

func equal(a, b map[string]stamp) bool {
	return maps.EqualFunc(a, b, func(x, y stamp) bool {
		return x.size == y.size && x.inode == y.inode && x.modified.Equal(y.modified)
	})
}
