package h1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	for _, c := range refused {
		f.Add(whole(c.in))
	}
	for _, c := range accepted {
		f.Add(whole(c.in))
	}
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n"))
}

// FuzzRequest holds that what is accepted and forwarded is accepted again, with the same meaning, and forwarded the same.
func FuzzRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		if r.Parse(in, Limits{}) != nil {
			return
		}
		out := r.Append(nil, Forward{ClientIP: "192.0.2.7", Forwarded: true, Via: true})
		var again Request
		if err := again.Parse(out, Limits{Head: 1 << 20, URI: 1 << 20}); err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", in, out, err)
		}
		if again.Len != len(out) {
			t.Fatalf("%q becomes %q: %d bytes of it are a head", in, out, again.Len)
		}
		same := string(again.Method) == string(r.Method) && string(again.Target) == string(r.Target) && strings.EqualFold(string(again.Host), string(r.Host)) &&
			again.Length == r.Length && again.Chunked == r.Chunked && again.Minor == r.Minor && again.Upgrade == r.Upgrade && again.Expect == r.Expect
		if !same {
			t.Fatalf("%q becomes %q, which means something else", in, out)
		}
	})
}

// FuzzRequestAgainstNetHTTP holds that whatever is accepted here net/http accepts too, and reads in the same way: method, target, host,
// headers, framing, the body and what is left after it. What net/http refuses and h1 does not is listed in stricter.
func FuzzRequestAgainstNetHTTP(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Request
		if r.Parse(in, Limits{}) != nil {
			return
		}
		rest := bufio.NewReader(bytes.NewReader(in))
		theirs, err := http.ReadRequest(rest)
		if err != nil {
			if !stricter(&r, err) {
				t.Fatalf("%q: net/http refuses it: %v", in, err)
			}
			return
		}
		if theirs.Method != string(r.Method) || !r.absolute && theirs.RequestURI != string(r.Target) {
			t.Fatalf("%q: %s %s here, %s %s there", in, r.Method, r.Target, theirs.Method, theirs.RequestURI)
		}
		if !strings.EqualFold(theirs.Host, string(r.Host)) {
			t.Fatalf("%q: host %q here, %q there", in, r.Host, theirs.Host)
		}
		chunked := len(theirs.TransferEncoding) == 1 && theirs.TransferEncoding[0] == "chunked"
		if chunked != r.Chunked || !chunked && theirs.ContentLength != max(r.Length, 0) {
			t.Fatalf("%q: chunked %v, length %d here; %v, %d there", in, r.Chunked, r.Length, chunked, theirs.ContentLength)
		}
		sameHeaders(t, in, &r, theirs.Header)
		sameBody(t, in, &r, theirs, rest)
	})
}

// stricter says whether net/http has a reason of its own to refuse: it parses the target as a URL, for which Weir has no use, and it
// bounds trailers and keeps a list of those that may not be announced.
func stricter(r *Request, err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "parse ") || strings.Contains(s, "invalid URL escape") || strings.Contains(s, "bad trailer key") ||
		strings.Contains(s, "malformed Host") || strings.Contains(s, "invalid URI")
}

func sameHeaders(t *testing.T, in []byte, r *Request, theirs http.Header) {
	ours := map[string][]string{}
	for i := range r.fields {
		fl := &r.fields[i]
		switch fl.kind {
		case kHost, kTransferEncoding, kTrailer: // net/http takes these out of the map
			continue
		}
		k := http.CanonicalHeaderKey(string(r.buf[fl.start:fl.nameEnd]))
		ours[k] = append(ours[k], string(r.buf[fl.valueStart:fl.valEnd]))
	}
	for k, vs := range ours {
		if got := theirs[k]; strings.Join(got, "\x00") != strings.Join(vs, "\x00") && k != "Pragma" && k != "Cache-Control" {
			t.Fatalf("%q: %s is %q here, %q there", in, k, vs, got)
		}
	}
}

func sameBody(t *testing.T, in []byte, r *Request, theirs *http.Request, rest *bufio.Reader) {
	b := RequestBody(r)
	n, err := b.Next(in[r.Len:])
	got, theirErr := io.ReadAll(theirs.Body)
	if err == nil && b.Done() {
		if theirErr != nil {
			// net/http limits what a chunk may cost in extensions, and reads trailers as a MIME header.
			if s := theirErr.Error(); strings.Contains(s, "chunk") || strings.Contains(s, "trailer") || strings.Contains(s, "malformed MIME") {
				return
			}
			t.Fatalf("%q: the body is whole here, there: %v", in, theirErr)
		}
		left, _ := io.ReadAll(rest)
		if string(left) != string(in[r.Len+n:]) {
			t.Fatalf("%q: %q is left here, %q there (body %q)", in, in[r.Len+n:], left, got)
		}
		return
	}
	if theirErr == nil && err != nil && r.Chunked {
		return // stricter about chunks than net/http
	}
	if theirErr == nil && (len(got) > 0 || !b.Done()) && err == nil {
		t.Fatalf("%q: the body is not whole here, there it is %q", in, got)
	}
}

// FuzzResponse holds the same of answers as FuzzRequest of requests.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: a, close\r\nA: b\r\n\r\n", "HTTP/1.1 103 E\r\nLink: a\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Response
		if r.Parse(in, Limits{}) != nil {
			return
		}
		out := r.Append(nil, r.Close, true)
		var again Response
		if err := again.Parse(out, Limits{Head: 1 << 20}); err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", in, out, err)
		}
		if again.Len != len(out) || again.Status != r.Status || again.Length != r.Length || again.Chunked != r.Chunked {
			t.Fatalf("%q becomes %q, which means something else", in, out)
		}
	})
}

// FuzzBody holds that a body is counted the same whether it comes at once or byte by byte.
func FuzzBody(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\nrest"))
	f.Add([]byte("3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := chunkedBody()
		n, err := b.Next(in)
		slow, m := chunkedBody(), 0
		var slowErr error
		for m < len(in) && !slow.Done() && slowErr == nil {
			var k int
			k, slowErr = slow.Next(in[m : m+1])
			m += k
		}
		if err != slowErr || err == nil && (n != m || b.Done() != slow.Done()) {
			t.Fatalf("%q: %d %v at once, %d %v byte by byte", in, n, err, m, slowErr)
		}
	})
}
