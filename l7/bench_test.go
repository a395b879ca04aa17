package l7

import (
	"bufio"
	"io"
	"net"
	"testing"
)

// BenchmarkKeepAliveGET is one request after the other on one connection: engine, routing, pool, slots and metrics are
// on, client and target are a few lines that allocate nothing, so that allocs/op is the engine's own.
func BenchmarkKeepAliveGET(b *testing.B) {
	benchmark(b, "GET /predict HTTP/1.1\r\nHost: app.local\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
}

// BenchmarkKeepAlivePOST adds a body of 1 KB.
func BenchmarkKeepAlivePOST(b *testing.B) {
	body := make([]byte, 1024)
	for i := range body {
		body[i] = 'p'
	}
	benchmark(b, "POST /predict HTTP/1.1\r\nHost: app.local\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n"+string(body))
}

func benchmark(b *testing.B, request string) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 200\r\nX-Model: m1\r\n\r\n" + string(make([]byte, 200)))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	const added = 120 // at most what forwarding adds to the head; a request arrives in one segment here
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, len(request)+2*added)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	p := front(b, 0, ln.Addr().String())
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	out, in := []byte(request), make([]byte, len(answer))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, in); err != nil {
			b.Fatal(err)
		}
	}
}
