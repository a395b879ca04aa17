package h1

import (
	"strings"
	"testing"
)

// refused are requests that two parsers could read in two ways, or that are simply wrong, each with what must come of it. ~
// stands for the rest of a head that is in order: "Host: a" and the empty line.
var refused = []struct {
	in   string
	want *Error
}{
	// The request line.
	{"GET\r\n~", ErrMethod},
	{"GET /\r\n~", ErrRequestLine}, // HTTP/0.9
	{"GET  / HTTP/1.1\r\n~", ErrRequestLine},
	{"GET /  HTTP/1.1\r\n~", ErrRequestLine},
	{"GET / HTTP/1.1 \r\n~", ErrRequestLine},
	{"GET / HTTP/1.1x\r\n~", ErrRequestLine},
	{"GET / http/1.1\r\n~", ErrRequestLine},
	{"GET / HTTP/11\r\n~", ErrRequestLine},
	{"GET / HTTP/1.10\r\n~", ErrRequestLine},
	{"GET / HTTP/2.0\r\n~", ErrVersion},
	{"GET / HTTP/1.2\r\n~", ErrVersion},
	{"GET / HTTP/0.9\r\n~", ErrVersion},
	{"GET / HTTP/1.1\n~", ErrLineEnd},
	{"GET / HTTP/1.1\r\r\n~", ErrRequestLine},
	{" GET / HTTP/1.1\r\n~", ErrMethod},
	{"\r\nGET / HTTP/1.1\r\n~", ErrMethod},
	{"\nGET / HTTP/1.1\r\n~", ErrMethod},
	{"\tGET / HTTP/1.1\r\n~", ErrMethod},
	{"GE\tT / HTTP/1.1\r\n~", ErrMethod},
	{"G(T / HTTP/1.1\r\n~", ErrMethod},
	{"G\x00T / HTTP/1.1\r\n~", ErrMethod},
	{"GET: / HTTP/1.1\r\n~", ErrMethod},
	{"\x80 / HTTP/1.1\r\n~", ErrMethod},
	{"GET / HTTP/1.1\x00\r\n~", ErrRequestLine},
	{"GET\t/ HTTP/1.1\r\n~", ErrMethod},
	{"GET /\tHTTP/1.1\r\n~", ErrRequestLine},

	// The target.
	{"GET a HTTP/1.1\r\n~", ErrTarget},
	{"GET * HTTP/1.1\r\n~", ErrTarget},
	{"GET ** HTTP/1.1\r\n~", ErrTarget},
	{"OPTIONS ** HTTP/1.1\r\n~", ErrTarget},
	{"GET /a#b HTTP/1.1\r\n~", ErrTarget},
	{"GET /a\x00b HTTP/1.1\r\n~", ErrTarget},
	{"GET /a\x7fb HTTP/1.1\r\n~", ErrTarget},
	{"GET /a\x80b HTTP/1.1\r\n~", ErrTarget},
	{"GET /a\rb HTTP/1.1\r\n~", ErrTarget},
	{"GET /a\vb HTTP/1.1\r\n~", ErrTarget},
	{"GET http:// HTTP/1.1\r\n~", ErrTarget},
	{"GET http:/a HTTP/1.1\r\n~", ErrTarget},
	{"GET http:///a HTTP/1.1\r\n~", ErrTarget},
	{"GET ftp://a/ HTTP/1.1\r\n~", ErrTarget},
	{"GET //a HTTP/1.1\r\nX: \x01\r\n~", ErrValue}, // the target itself is fine: a path that begins with an empty segment
	{"GET http://a?x HTTP/1.1\r\n~", ErrTarget},
	{"GET http://user@a/ HTTP/1.1\r\n~", ErrTarget},
	{"GET http://a\\b/ HTTP/1.1\r\n~", ErrTarget},
	{"GET http://b/ HTTP/1.1\r\n~", ErrHost}, // the authority is not the Host
	{"GET http://a:80/ HTTP/1.1\r\n~", ErrHost},
	{"GET http://a:b/ HTTP/1.1\r\n~", ErrTarget},
	{"GET http://[a/ HTTP/1.1\r\n~", ErrTarget},
	{"GET http://:80/ HTTP/1.1\r\n~", ErrTarget},
	{"GET http://a#b HTTP/1.1\r\n~", ErrTarget},
	{"GET http://a/#b HTTP/1.1\r\n~", ErrTarget},
	{"GET ws://a/ HTTP/1.1\r\n~", ErrTarget},
	{"GET a:80 HTTP/1.1\r\n~", ErrTarget},
	{"connect a:443 HTTP/1.1\r\n~", ErrTarget}, // methods are case-sensitive: this one is unknown
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ErrVersion},
	{"CONNECT a:443 HTTP/1.1\r\n~", ErrConnect},
	{"CONNECT / HTTP/1.1\r\n~", ErrConnect},
	{"GET /" + strings.Repeat("x", 8192) + " HTTP/1.1\r\n~", ErrURITooLong},

	// Host.
	{"GET / HTTP/1.1\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a\r\n~", ErrHost},
	{"GET / HTTP/1.1\r\nHost: b\r\n~", ErrHost},
	{"GET / HTTP/1.1\r\nhost: a\r\n~", ErrHost},
	{"GET / HTTP/1.0\r\nHost: a\r\n~", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a\tb\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: <a>\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a\x80\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: ::1]\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: []\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: [\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: a[::1]\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: [[::1]]\r\n\r\n", ErrHost},
	{"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", ErrHost},
	{"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", ErrHost},

	// Lines and names.
	{"GET / HTTP/1.1\r\nA: b\n~", ErrLineEnd},
	{"GET / HTTP/1.1\r\nA: b\n\r\n~", ErrLineEnd},
	{"GET / HTTP/1.1\r\nA: b\rC: d\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\r\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\r\n c\r\n~", ErrFold},
	{"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n~", ErrFold},
	{"GET / HTTP/1.1\r\n A: b\r\n~", ErrFold},
	{"GET / HTTP/1.1\r\nA : b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA\t: b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\n: b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA B: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA(B): c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA\x00B: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA\x80: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA/B: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\n\"A\": c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA=B: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA[0]: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA,B: c\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA: b\x00c\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\x01c\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\x0bc\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\x0cc\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\x1bc\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: b\x7fc\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: \x00\r\n~", ErrValue},
	{"GET / HTTP/1.1\r\nA: " + strings.Repeat("x", 33000) + "\r\n~", ErrHeadTooBig},
	{"GET / HTTP/1.1\r\n" + strings.Repeat("A:\r\n", 256) + "~", ErrHeadTooBig},
	{"GET / HTTP/1.1\r\n\x00\r\n~", ErrName},
	{"GET / HTTP/1.1\r\n\xef\xbb\xbfA: b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\n\nA: b\r\n~", ErrLineEnd},
	{"GET / HTTP/1.1\r\n\rA: b\r\n~", ErrName},
	{"GET / HTTP/1.1\r\nA\r: b\r\n~", ErrName},

	// Content-Length.
	{"POST / HTTP/1.1\r\nContent-Length: \r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: x\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: -1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: +1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 0x1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1.0\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1_0\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1 1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1,1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1;\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: \"1\"\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 0000000000000000001\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: \x0b1\r\n~", ErrValue},
	{"POST / HTTP/1.1\r\nContent-Length : 1\r\n~", ErrName},
	{"POST / HTTP/1.1\r\nContent-Length: 1\r\n 0\r\n~", ErrFold},
	{"POST / HTTP/1.1\r\nContent-Length: ١\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1000000000000000000\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1\rX\r\n~", ErrValue},
	{"POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n~", ErrLength},
	{"POST / HTTP/1.1\r\nContent-Length: 1\r\nCONTENT-LENGTH:\r\n~", ErrLength},

	// Transfer-Encoding.
	{"POST / HTTP/1.1\r\nTransfer-Encoding: \r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked;x=y\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunk\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: 'chunked'\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chun\tked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n~", ErrValue},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\x00\r\n~", ErrValue},
	{"POST / HTTP/1.1\r\nTransfer-Encoding\r\n~", ErrName},
	{"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n~", ErrName},
	{"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\n~", ErrFold},
	{"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nX: y\r\n Transfer-Encoding: chunked\r\n~", ErrFold},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n~", ErrEncoding},
	{"POST / HTTP/1.1\r\nTransfer_Encoding: chunked\r\nTransfer-Encoding: x\r\n~", ErrEncoding},

	// Both.
	{"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n~", ErrBoth},
	{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n~", ErrBoth},
	{"POST / HTTP/1.1\r\ntransfer-encoding: CHUNKED\r\ncontent-length: 0\r\n~", ErrBoth},

	// Connection and its kin.
	{"GET / HTTP/1.1\r\nConnection: content-length\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: close, Transfer-Encoding\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: host\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: x-forwarded-for\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: forwarded\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: expect\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: a\r\nConnection: CONTENT-LENGTH\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: " + strings.Repeat("a,", 129) + "\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\n" + strings.Repeat("Connection: 12345678\r\n", 33) + "~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: a b\r\n~", ErrConnection},
	{"GET / HTTP/1.1\r\nConnection: \"close\"\r\n~", ErrConnection},
	{"POST / HTTP/1.1\r\nExpect: 200-ok\r\n~", ErrExpect},
	{"POST / HTTP/1.1\r\nExpect: 100-continue, x\r\n~", ErrExpect},
	{"POST / HTTP/1.1\r\nExpect: \r\n~", ErrExpect},
	{"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n~", ErrUpgrade},
	{"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n~", ErrUpgrade},
}

func whole(in string) []byte { return []byte(strings.ReplaceAll(in, "~", "Host: a\r\n\r\n")) }

func TestTheTableIsLarge(t *testing.T) {
	if len(refused) < 150 {
		t.Errorf("%d refusals, want at least 150", len(refused))
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	for _, c := range refused {
		var r Request
		if err := r.Parse(whole(c.in), Limits{}); err != c.want {
			t.Errorf("%.90q: %v, want %v", c.in, err, c.want)
		}
	}
}

// TestSplittingChangesNothing feeds every head up to every position: the answer is "more" until it is what the whole head gets.
func TestSplittingChangesNothing(t *testing.T) {
	check := func(in []byte, want error) {
		var r Request
		told := false
		for n := 0; n <= len(in); n++ {
			if len(in) > 2000 && n%97 != 0 && n < len(in)-20 {
				continue
			}
			err := r.Parse(in[:n], Limits{})
			told = told || err != ErrMore
			if told && (err != want || want == nil && n < len(in)) || n == len(in) && !told {
				t.Errorf("%.60q: %v after %d bytes, want %v", in, err, n, want)
				return
			}
		}
	}
	for _, c := range refused {
		check(whole(c.in), c.want)
	}
	for _, c := range accepted {
		check(whole(c.in), nil)
	}
	longest := "GET /" + strings.Repeat("x", DefaultLimits.URI-1) + " HTTP/1.1\r\n"
	check(whole(longest+"~"), nil)
	check(whole("M-SEARCH"+longest[3:]+"~"), nil)
	check(whole("GET /x"+longest[5:]+"~"), ErrURITooLong)
	check(whole("GET /"+strings.Repeat("x", 2*DefaultLimits.Head)+"\r\n~"), ErrURITooLong)
}

// accepted are requests that must pass, with what is forwarded. In want, F stands for the headers that are always added.
var accepted = []struct {
	name, in, want string
}{
	{"plain", "GET / HTTP/1.1\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"query", "GET /a/b?c=d&e=%20 HTTP/1.1\r\n~", "GET /a/b?c=d&e=%20 HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"any method", "PROPFIND / HTTP/1.1\r\n~", "PROPFIND / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"IPv6", "GET http://[::1]:80/ HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: [::1]:80\r\n\r\n"},
	{"options with an absolute form", "OPTIONS http://a HTTP/1.1\r\n~", "OPTIONS * HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"options with an absolute form and a path", "OPTIONS http://a/ HTTP/1.1\r\n~", "OPTIONS / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"a path that looks like an authority", "GET //b/c HTTP/1.1\r\n~", "GET //b/c HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"a second request in the query", "GET /?http://b/ HTTP/1.1\r\n~", "GET /?http://b/ HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"options *", "OPTIONS * HTTP/1.1\r\n~", "OPTIONS * HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"absolute form", "GET http://a/b?c HTTP/1.1\r\n~", "GET /b?c HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"absolute form without path", "GET HTTP://A HTTP/1.1\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"odd spacing of values", "GET / HTTP/1.1\r\nA:b\r\nC:  d \t\r\nE:\r\n~", "GET / HTTP/1.1\r\nA:b\r\nC:  d \t\r\nE:\r\nHost: a\r\nF\r\n"},
	{"obs-text", "GET / HTTP/1.1\r\nA: \xe4\xf6\r\n~", "GET / HTTP/1.1\r\nA: \xe4\xf6\r\nHost: a\r\nF\r\n"},
	{"hop by hop", "GET / HTTP/1.1\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\nHTTP2-Settings: x\r\n~",
		"GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"nominated", "GET / HTTP/1.1\r\nX-A: 1\r\nConnection: x-a, keep-alive\r\nX-B: 2\r\nx-a: 3\r\n~", "GET / HTTP/1.1\r\nX-B: 2\r\nHost: a\r\nF\r\n"},
	{"nominated although known", "GET / HTTP/1.1\r\nVia: 1.1 x\r\nConnection: via\r\nTrailer: a\r\nConnection: trailer,content-type\r\nContent-Type: b\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"nominated and close", "GET / HTTP/1.1\r\nConnection: ,close ,\tx-a,\r\nX-A: 1\r\nClose: 2\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"first and last hop by hop", "GET / HTTP/1.1\r\nTE: a\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"length 0", "POST / HTTP/1.1\r\nContent-Length: 0\r\n~", "POST / HTTP/1.1\r\nContent-Length: 0\r\nHost: a\r\nF\r\n"},
	{"the greatest length", "POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\n~", "POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\nHost: a\r\nF\r\n"},
	{"length", "POST / HTTP/1.1\r\nContent-Length: 5\r\n~", "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\nF\r\n"},
	{"chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\n~", "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nTrailer: X\r\nHost: a\r\nF\r\n"},
	{"expect", "POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n~", "POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\nHost: a\r\nF\r\n"},
	{"upgrade", "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nFConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
	{"upgrade in lists", "GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade:\r\nUpgrade: a, b\r\nUpgrade: c\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nFConnection: upgrade\r\nUpgrade: a, b, c\r\n\r\n"},
	{"upgrade to nothing", "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: ,\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"upgrade to HTTP/2 too", "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket, H2C\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"upgrade by HTTP/1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n~", "GET / HTTP/1.0\r\nHost: a\r\nF\r\n"},
	{"upgrade that is not named", "GET / HTTP/1.1\r\nUpgrade: websocket\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n"},
	{"HTTP/1.0, absolute form, no Host", "GET http://a/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: a\r\nF\r\n"},
	{"forged", "GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n~", "GET / HTTP/1.1\r\nHost: a\r\nF\r\n"},
	{"forwarded before", "GET / HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2, 3.3.3.3\r\n~",
		"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\r\n"},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\r\n"},
}

func TestWhatIsForwarded(t *testing.T) {
	added := "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n"
	for _, c := range accepted {
		t.Run(c.name, func(t *testing.T) {
			var r Request
			in := whole(c.in)
			if err := r.Parse(append(in, "the body"...), Limits{}); err != nil {
				t.Fatal(err)
			}
			if r.Len != len(in) {
				t.Errorf("the head is %d bytes, want %d", r.Len, len(in))
			}
			want := strings.Replace(c.want, "\r\nF", "\r\n"+added, 1)
			if got := string(r.Append(nil, Forward{ClientIP: "192.0.2.7"})); got != want {
				t.Errorf("forwarded\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestForwardedOfIPv6(t *testing.T) {
	var r Request
	if err := r.Parse(whole("GET / HTTP/1.1\r\nForwarded: for=1.2.3.4\r\n~"), Limits{}); err != nil {
		t.Fatal(err)
	}
	got := string(r.Append(nil, Forward{ClientIP: "2001:db8::1", TLS: true, Forwarded: true, Via: true}))
	for _, want := range []string{
		"X-Forwarded-For: 2001:db8::1\r\n", "X-Forwarded-Proto: https\r\n",
		"Forwarded: for=1.2.3.4, for=\"[2001:db8::1]\";host=\"a\";proto=https\r\n", "Via: 1.1 weir\r\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want %q once in %q", want, got)
		}
	}
}
