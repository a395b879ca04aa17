package h1

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weirlb/weir/h1/corpus"
)

// refusals are the errors for the corpus's names of them.
var refusals = map[corpus.Refusal]error{
	corpus.None: nil, corpus.RequestLine: ErrRequestLine, corpus.Foreign: ErrForeign, corpus.Method: ErrMethod, corpus.Target: ErrTarget, corpus.URITooLong: ErrURITooLong,
	corpus.Version: ErrVersion, corpus.Connect: ErrConnect, corpus.HeadTooBig: ErrHeadTooBig, corpus.LineEnd: ErrLineEnd,
	corpus.Fold: ErrFold, corpus.Name: ErrName, corpus.Value: ErrValue, corpus.Host: ErrHost, corpus.Length: ErrLength,
	corpus.Encoding: ErrEncoding, corpus.Both: ErrBoth, corpus.Connection: ErrConnection, corpus.Expect: ErrExpect,
	corpus.Upgrade: ErrUpgrade, corpus.StatusLine: ErrStatusLine, corpus.Chunk: ErrChunk, corpus.Trailer: ErrTrailer,
	corpus.Unfinished: ErrMore,
}

func whole(in string) []byte { return corpus.Request{In: in}.Bytes() }

func TestTheTableIsLarge(t *testing.T) {
	if n := len(corpus.Requests()); n < 500 {
		t.Errorf("%d refusals, want at least 500", n)
	}
	if n := len(corpus.Answers()); n < 300 {
		t.Errorf("%d answers, want at least 300", n)
	}
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	for _, c := range corpus.Heads {
		var r Request
		err := r.Parse(c.Bytes(), Limits{})
		if err != refusals[c.Want] {
			t.Errorf("%.90q: %v, want %v", c.In, err, refusals[c.Want])
		}
		if bad, ok := errors.AsType[*Error](err); ok && bad.Status != c.Want.Status() {
			t.Errorf("%.90q: status %d, want %d", c.In, bad.Status, c.Want.Status())
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
	for _, c := range corpus.Heads {
		if c.Want != corpus.Unfinished {
			check(c.Bytes(), refusals[c.Want])
		}
	}
	for _, c := range corpus.Accepted {
		check(c.Bytes(), nil)
	}
	longest := "GET /" + strings.Repeat("x", DefaultLimits.URI-1) + " HTTP/1.1\r\n"
	check(whole(longest+"~"), nil)
	check(whole("M-SEARCH"+longest[3:]+"~"), nil)
	check(whole("GET /x"+longest[5:]+"~"), ErrURITooLong)
	check(whole("GET /"+strings.Repeat("x", 2*DefaultLimits.Head)+"\r\n~"), ErrURITooLong)
}

func TestWhatIsForwarded(t *testing.T) {
	endless := corpus.Good{ // nobody can send this
		Name: "the greatest length", In: "POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\n~",
		Want: "POST / HTTP/1.1\r\nContent-Length: 999999999999999999\r\nHost: a\r\nF\r\n",
	}
	for _, c := range append(slices.Clone(corpus.Accepted), endless) {
		t.Run(c.Name, func(t *testing.T) {
			var r Request
			in := c.Bytes()
			if err := r.Parse(append(in, "the body"...), Limits{}); err != nil {
				t.Fatal(err)
			}
			if r.Len != len(in) {
				t.Errorf("the head is %d bytes, want %d", r.Len, len(in))
			}
			want := c.Forwarded("192.0.2.7")
			if got := string(r.Append(nil, Forward{ClientIP: "192.0.2.7"})); got != want {
				t.Errorf("forwarded\n%q, want\n%q", got, want)
			}
			b := RequestBody(&r)
			if n, err := b.Next([]byte(c.Body)); c.Body != "" && (n != len(c.Body) || err != nil || !b.Done()) {
				t.Errorf("%d of %d bytes are the body, %v", n, len(c.Body), err)
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
