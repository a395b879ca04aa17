package h1

import (
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// take takes a chunked body apart, given in pieces of so many bytes.
func take(b []byte, piece int) (data []byte, trailers string, done bool, err error) {
	var d Data
	d.Reset(Body{mode: chunked})
	for len(b) > 0 && !d.Done() {
		p := b[:min(piece, len(b))]
		b = b[len(p):]
		for len(p) > 0 && !d.Done() {
			got, n, err := d.Next(p)
			if err != nil {
				return data, "", false, err
			}
			data, p = append(data, got...), p[n:]
		}
	}
	for name, value := range d.Trailers {
		trailers += string(name) + "=" + string(value) + ";"
	}
	return data, trailers, d.Done(), nil
}

func TestDataIsTakenOutOfChunks(t *testing.T) {
	const body = "5;ext=1\r\nhello\r\n00001\r\n \r\nA\r\n0123456789\r\n0\r\nX-Sum:  16 \r\nX-Empty:\r\n\r\nrest"
	for piece := 1; piece <= len(body); piece++ {
		data, trailers, done, err := take([]byte(body), piece)
		if string(data) != "hello 0123456789" || trailers != "X-Sum=16;X-Empty=;" || !done || err != nil {
			t.Fatalf("in pieces of %d: %q %q %v %v", piece, data, trailers, done, err)
		}
	}
	for _, bad := range []string{"5\r\nhelloX", "g\r\n", "1\r\na\r\n0\r\nContent-Length: 1\r\n\r\n", "1\r\na\r\n0\r\nX-Client-Cert-Fingerprint: ab\r\n\r\n"} {
		if _, _, _, err := take([]byte(bad), len(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestDataOfKnownLength(t *testing.T) {
	var d Data
	d.Reset(Body{mode: byLengthMode, rem: 5})
	data, n, err := d.Next([]byte("hel"))
	if string(data) != "hel" || n != 3 || err != nil || d.Done() {
		t.Errorf("%q %d %v", data, n, err)
	}
	data, n, err = d.Next([]byte("lo, world"))
	if string(data) != "lo" || n != 2 || err != nil || !d.Done() {
		t.Errorf("%q %d %v", data, n, err)
	}
}

// FuzzData holds Data to net/http's reader of chunks: what both take means the same.
func FuzzData(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), 3)
	f.Add([]byte("1;a=b\r\nx\r\n0\r\nT: v\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		if piece < 1 {
			piece = 1
		}
		data, _, done, err := take(b, piece)
		if err != nil || !done {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		if err != nil || !bytes.Equal(data, want) {
			t.Fatalf("%q: %q, net/http says %q, %v", b, data, want, err)
		}
	})
}

func TestClientsDoNotSayWhoTheirCertificateNames(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: x\r\nX-Client-Cert-Subject: CN=admin\r\nx-client-cert-san: a\r\nX-CLIENT-CERT-FINGERPRINT: 00\r\nConnection: X-Client-Cert-San\r\n\r\n"
	var r Request
	if err := r.Parse([]byte(head), Limits{}); err != nil {
		t.Fatal(err)
	}
	if out := strings.ToLower(string(r.Append(nil, Forward{ClientIP: "192.0.2.1"}))); strings.Contains(out, "x-client-cert") {
		t.Errorf("forwarded %q", out)
	}
	if out := strings.ToLower(string(r.Append(nil, Forward{ClientIP: "192.0.2.1", KeepCert: true}))); strings.Count(out, "x-client-cert") != 3 {
		t.Errorf("forwarded %q", out)
	}
}
