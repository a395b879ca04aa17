package h1

import (
	"strings"
	"testing"

	"github.com/weirlb/weir/h1/corpus"
)

var client = []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n" +
	"Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.52.0\r\nX-Stainless-Lang: python\r\n" +
	"X-Stainless-Package-Version: 1.52.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n" +
	"Authorization: Bearer sk-0000000000000000000000000000000000000000\r\nContent-Length: 311\r\n\r\n")

var curl = []byte("GET /health HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n")

var browser = []byte("GET /app/index.html?tab=2 HTTP/1.1\r\nHost: app.example.com\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n" +
	"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n" +
	"Referer: https://app.example.com/app/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9,de;q=0.8\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\n\r\n")

// costly is the most that a head may make of the lookup of every header in Connection.
var costly = []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("a,", maxOptions/2) + "\r\n" +
	strings.Repeat("b:\r\n", maxFields-2) + "\r\n")

var answer = []byte("HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nServer: uvicorn\r\nContent-Type: text/event-stream; charset=utf-8\r\n" +
	"Cache-Control: no-cache\r\nX-Request-Id: 5f1e0c7a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n")

var event = []byte("50\r\ndata: {\"t\":\"00000000000000000000\",\"tok\":\"hello world, this is some token tex\"}\n\n\r\n")

func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		name string
		head []byte
	}{{"client", client}, {"curl", curl}, {"browser", browser}, {"costly", costly}} {
		b.Run("parse/"+c.name, func(b *testing.B) {
			var r Request
			b.ReportAllocs()
			b.SetBytes(int64(len(c.head)))
			for b.Loop() {
				if err := r.Parse(c.head, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("append/"+c.name, func(b *testing.B) {
			var r Request
			if err := r.Parse(c.head, Limits{}); err != nil {
				b.Fatal(err)
			}
			out := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				out = r.Append(out[:0], Forward{ClientIP: "192.0.2.7"})
			}
		})
	}
}

func BenchmarkResponse(b *testing.B) {
	var r Response
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(answer)))
	for b.Loop() {
		if err := r.Parse(answer, Limits{}); err != nil {
			b.Fatal(err)
		}
		out = r.Append(out[:0], Return{})
	}
}

func BenchmarkEvent(b *testing.B) {
	body := chunkedBody()
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		if n, err := body.Next(event); err != nil || n != len(event) {
			b.Fatal(n, err)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	var q Request
	var r Response
	out := make([]byte, 0, 4096)
	upgrade := whole("GET / HTTP/1.1\r\nForwarded: for=a\r\nX-Forwarded-For: b\r\nConnection: upgrade, x\r\nX: y\r\nUpgrade: websocket\r\n~")
	absolute := whole("OPTIONS http://a HTTP/1.1\r\n~")
	for _, head := range [][]byte{client, curl, browser, upgrade, absolute} {
		if n := testing.AllocsPerRun(100, func() {
			if err := q.Parse(head, Limits{}); err != nil {
				t.Fatal(err)
			}
			out = q.Append(out[:0], Forward{ClientIP: "2001:db8::1", TLS: true, Forwarded: true, Via: true})
		}); n != 0 {
			t.Errorf("%v allocations for %.40q", n, head)
		}
	}
	for _, c := range corpus.Heads {
		in := c.Bytes()
		if n := testing.AllocsPerRun(10, func() { _ = q.Parse(in, Limits{}) }); n != 0 {
			t.Errorf("%v allocations to refuse %.80q", n, c.In)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Parse(answer, Limits{}); err != nil || !r.EventStream() {
			t.Fatal(err)
		}
		out = r.Append(out[:0], Return{Last: true, Via: true})
	}); n != 0 {
		t.Errorf("%v allocations per answer", n)
	}
	body := chunkedBody()
	if n := testing.AllocsPerRun(100, func() {
		if n, err := body.Next(event); err != nil || n != len(event) {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}
