package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weirlb/weir/h1/corpus"
)

func seeds(f *testing.F) {
	for _, c := range corpus.Requests() {
		if len(c.In) < 2000 {
			f.Add(c.Bytes())
		}
	}
	for _, c := range corpus.Accepted {
		f.Add(append(c.Bytes(), c.Body...))
	}
	for _, body := range bodies {
		f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
	}
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n"))
	f.Add([]byte("POST / HTTP/1.0\r\nPragma: no-cache\r\nContent-Length: 3\r\n\r\nab"))
}

// bodies are chunked ones to begin from.
var bodies = []string{
	"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
	"3;x=\"y;z\"\r\nabc\r\nA\r\n0123456789\r\n000\r\nX: y\r\nZ:\r\n\r\nrest",
	"0\r\n\r\n", "0;\r\nX: y\r\n\r\n", "3\r\nab", "3 \r\nabc\r\n0\r\n\r\n", "1\na\n0\n\n", "0\r\nHost: a\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n",
}

// sameWhenSplit holds that no part of in is refused but for the reason for which the whole is, and none is accepted that the whole is not.
func sameWhenSplit(t *testing.T, in []byte, head int, want error, parse func([]byte) error) {
	for _, n := range [...]int{1, head / 2, head - 1, len(in) / 2, len(in) - 1} {
		if n < 0 || n >= len(in) {
			continue
		}
		if err := parse(in[:n]); err != want && err != ErrMore {
			t.Fatalf("%q: %v after %d bytes, %v as a whole", in, err, n, want)
		} else if err == nil && n < head {
			t.Fatalf("%q: accepted after %d bytes, its head is %d", in, n, head)
		}
	}
}

// kept are the headers that a proxy has to leave as they are.
func kept(h *Head) string {
	var b strings.Builder
	for i := range h.fields {
		switch f := &h.fields[i]; f.kind {
		case kHost, kForwardedFor, kForwardedProto, kForwardedHost, kForwarded, kVia, kClientCert:
		default:
			if !h.drop(f) {
				b.Write(h.buf[f.start:f.end])
			}
		}
	}
	return b.String()
}

// FuzzRequest holds that what is accepted and forwarded is accepted again with the same meaning, and that splitting a head
// does not change what comes of it.
func FuzzRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var r, part Request
		err := r.Parse(in, Limits{})
		if err == ErrMore {
			return
		}
		sameWhenSplit(t, in, r.Len, err, func(b []byte) error { return part.Parse(b, Limits{}) })
		if err != nil {
			return
		}
		out := r.Append(nil, Forward{ClientIP: "192.0.2.7", Forwarded: true, Via: true})
		var again Request
		if err := again.Parse(out, Limits{Head: 1 << 20, URI: 1 << 20}); err == ErrHeadTooBig && len(r.fields) > maxFields-6 {
			return // with the lines that were added there are too many
		} else if err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", in, out, err)
		}
		if again.Len != len(out) {
			t.Fatalf("%q becomes %q: %d bytes of it are a head", in, out, again.Len)
		}
		same := string(again.Method) == string(r.Method) && string(again.Target) == string(r.Target) && string(again.Host) == string(r.Host) &&
			again.Length == r.Length && again.Chunked == r.Chunked && again.Minor == r.Minor && again.Upgrade == r.Upgrade &&
			again.Expect == r.Expect && again.IsHead == r.IsHead && again.HasBody() == r.HasBody() && kept(&again.Head) == kept(&r.Head)
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
		rest := bufio.NewReaderSize(bytes.NewReader(in), 1<<16)
		theirs, err := http.ReadRequest(rest)
		if err != nil {
			if !stricter(err) {
				t.Fatalf("%q: net/http refuses it: %v", in, err)
			}
			return
		}
		if theirs.Method != string(r.Method) {
			t.Fatalf("%q: method %q here, %q there", in, r.Method, theirs.Method)
		}
		sameTarget(t, in, &r, theirs)
		chunked := slices.Equal(theirs.TransferEncoding, []string{"chunked"})
		if chunked != r.Chunked || !chunked && theirs.ContentLength != max(r.Length, 0) {
			t.Fatalf("%q: chunked %v, length %d here; %v, %d there", in, r.Chunked, r.Length, chunked, theirs.ContentLength)
		}
		if theirs.Close && !r.Close {
			t.Fatalf("%q: the connection ends there, not here", in)
		}
		sameHeaders(t, in, &r, theirs.Header)
		sameBody(t, in, &r, theirs, rest)
	})
}

// stricter says whether net/http has a reason of its own to refuse: it parses the target as a URL, for which Weir has no use (a
// path may hold "%zz"), and knows headers that may not be announced as trailers, which are refused here when they come.
func stricter(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	return strings.HasPrefix(err.Error(), "bad trailer key")
}

func sameTarget(t *testing.T, in []byte, r *Request, theirs *http.Request) {
	want := theirs.RequestURI
	if r.absolute {
		if !strings.EqualFold(theirs.URL.Host, string(r.Host)) {
			t.Fatalf("%q: authority %q here, %q there", in, r.Host, theirs.URL.Host)
		}
		_, rest, _ := strings.Cut(want, "://")
		i := strings.IndexByte(rest, '/')
		switch {
		case i >= 0:
			want = rest[i:]
		case theirs.Method == "OPTIONS":
			want = "*"
		default:
			want = "/"
		}
	} else if theirs.Host != string(r.Host) {
		t.Fatalf("%q: host %q here, %q there", in, r.Host, theirs.Host)
	}
	path, err := url.PathUnescape(string(r.Path))
	if want != string(r.Target) || err != nil || theirs.URL.Path != path && theirs.URL.Path != "" {
		t.Fatalf("%q: target %q, path %q here, %q, %q there (%v)", in, r.Target, path, want, theirs.URL.Path, err)
	}
}

func sameHeaders(t *testing.T, in []byte, r *Request, theirs http.Header) {
	ours := http.Header{}
	for i := range r.fields {
		fl := &r.fields[i]
		if fl.kind == kHost || fl.kind == kTransferEncoding || fl.kind == kTrailer && r.Chunked {
			continue // net/http takes these out of the map
		}
		ours.Add(string(r.buf[fl.start:fl.nameEnd]), string(r.buf[fl.valueStart:fl.valEnd]))
	}
	for k, got := range theirs {
		if want := ours[k]; !slices.Equal(got, want) && (k != "Cache-Control" || want != nil) { // it is made up from Pragma
			t.Fatalf("%q: %s is %q here, %q there", in, k, want, got)
		}
	}
	for k := range ours {
		if _, ok := theirs[k]; !ok {
			t.Fatalf("%q: %s is missing there", in, k)
		}
	}
}

func sameBody(t *testing.T, in []byte, r *Request, theirs *http.Request, rest *bufio.Reader) {
	b := RequestBody(r)
	n, err := b.Next(in[r.Len:])
	if err != nil {
		return // h1 is the stricter one about chunks and trailers
	}
	raw, after := in[r.Len:r.Len+n], in[r.Len+n:]
	got, theirErr := io.ReadAll(theirs.Body)
	switch {
	case theirErr != nil && strings.Contains(theirErr.Error(), "too much non-data"):
		// net/http bounds what extensions may cost over all chunks, h1 for each.
	case !b.Done():
		if theirErr == nil {
			t.Fatalf("%q: the body is not whole here, there it is %q", in, got)
		}
	case theirErr != nil:
		t.Fatalf("%q: the body is whole here, there: %v", in, theirErr)
	default:
		if r.Chunked {
			raw = decode(raw)
		}
		left, _ := io.ReadAll(rest)
		if !bytes.Equal(got, raw) || !bytes.Equal(left, after) {
			t.Fatalf("%q: body %q, then %q here; body %q, then %q there", in, raw, after, got, left)
		}
	}
}

// decode returns the data of a well-formed chunked body.
func decode(raw []byte) (data []byte) {
	for {
		line, rest, _ := bytes.Cut(raw, []byte("\r\n"))
		digits, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(digits), 16, 32)
		if n == 0 || err != nil {
			return data
		}
		data, raw = append(data, rest[:n]...), rest[n+2:]
	}
}

// FuzzResponse holds of answers what FuzzRequest holds of requests, and that net/http frames them in the same way.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: a, close\r\nA: b\r\n\r\n", "HTTP/1.1 103 E\r\nLink: a\r\n\r\n",
		"HTTP/1.1 204 \r\nContent-Length: 3\r\n\r\n", "HTTP/1.0 304 X\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	for _, c := range corpus.Answers() {
		if len(c.In) < 2000 {
			f.Add([]byte(c.In))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r, part Response
		err := r.Parse(in, Limits{})
		if err == ErrMore {
			return
		}
		sameWhenSplit(t, in, r.Len, err, func(b []byte) error { return part.Parse(b, Limits{}) })
		if err != nil {
			return
		}
		out := r.Append(nil, Return{Last: r.Close, Via: true})
		var again Response
		if err := again.Parse(out, Limits{Head: 1 << 20}); err != nil {
			t.Fatalf("%q becomes %q, which is refused: %v", in, out, err)
		}
		framed := r.Status >= 200 && r.Status != 204
		same := again.Len == len(out) && again.Status == r.Status && again.EventStream() == r.EventStream() &&
			ResponseBody(&again, false) == ResponseBody(&r, false) && ResponseBody(&again, true) == ResponseBody(&r, true) &&
			(!framed || again.Length == r.Length && again.Chunked == r.Chunked && again.Close == r.Close && kept(&again.Head) == kept(&r.Head))
		if !same {
			t.Fatalf("%q becomes %q, which means something else", in, out)
		}
		sameAnswer(t, in, &r)
	})
}

func sameAnswer(t *testing.T, in []byte, r *Response) {
	theirs, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(in), 1<<16), nil)
	if err != nil {
		if !stricter(err) {
			t.Fatalf("%q: net/http refuses it: %v", in, err)
		}
		return
	}
	// net/http also tells of a Transfer-Encoding where no body follows, and reads none there either.
	chunked := slices.Equal(theirs.TransferEncoding, []string{"chunked"}) && theirs.Body != http.NoBody
	if body := ResponseBody(r, false); theirs.StatusCode != r.Status || chunked != body.Chunked() ||
		body.UntilClose() != (!chunked && theirs.ContentLength < 0 && theirs.Body != http.NoBody) || body.Done() != (theirs.Body == http.NoBody) {
		t.Fatalf("%q: %d, chunked %v, length %d here; %d, %v, %d there", in, r.Status, r.Chunked, r.Length, theirs.StatusCode, chunked, theirs.ContentLength)
	}
}

// FuzzBody holds that a body is counted the same whether it comes at once or byte by byte, and that what was counted is a whole body.
func FuzzBody(f *testing.F) {
	for _, s := range bodies {
		f.Add([]byte(s))
	}
	for _, c := range corpus.Chunks {
		if len(c.In) < 2000 {
			f.Add([]byte(c.In))
		}
	}
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
		if err != slowErr || n != m || b != slow && err == nil {
			t.Fatalf("%q: %d %v at once, %d %v byte by byte", in, n, err, m, slowErr)
		}
		if b.Done() {
			again := chunkedBody()
			if k, err := again.Next(in[:n]); k != n || err != nil || !again.Done() {
				t.Fatalf("%q: %d bytes were counted, again %d: %v", in, n, k, err)
			}
		}
	})
}
