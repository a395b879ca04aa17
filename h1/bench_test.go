package h1

import "testing"

var client = []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n" +
	"Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.52.0\r\nX-Stainless-Lang: python\r\n" +
	"X-Stainless-Package-Version: 1.52.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n" +
	"Authorization: Bearer sk-0000000000000000000000000000000000000000\r\nContent-Length: 311\r\n\r\n")

func BenchmarkRequest(b *testing.B) {
	var r Request
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(client)))
	for b.Loop() {
		if err := r.Parse(client, Limits{}); err != nil {
			b.Fatal(err)
		}
		out = r.Append(out[:0], Forward{ClientIP: "192.0.2.7"})
	}
}

func BenchmarkEvent(b *testing.B) {
	event := []byte("50\r\ndata: {\"t\":\"00000000000000000000\",\"tok\":\"hello world, this is some token tex\"}\n\n\r\n")
	body := chunkedBody()
	b.ReportAllocs()
	for b.Loop() {
		if n, err := body.Next(event); err != nil || n != len(event) {
			b.Fatal(n, err)
		}
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	var r Request
	out := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Parse(client, Limits{}); err != nil {
			t.Fatal(err)
		}
		out = r.Append(out[:0], Forward{ClientIP: "192.0.2.7"})
	}); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}
