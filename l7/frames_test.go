package l7

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2Client speaks HTTP/2 frame by frame.
type h2Client struct {
	*http2.Framer
	net.Conn
	block bytes.Buffer
	enc   *hpack.Encoder
}

// newH2Client connects and gets the formalities over.
func newH2Client(t *testing.T, way way) *h2Client {
	t.Helper()
	_, addr, _ := strings.Cut(way.url, "://")
	c, err := net.Dial("tcp", addr)
	if err == nil && way.tls {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	k := &h2Client{Framer: http2.NewFramer(c, c), Conn: c}
	k.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	k.enc = hpack.NewEncoder(&k.block)
	k.WriteSettings()
	return k
}

// fields encodes a head: that of a GET, and then pairs of name and value.
func (k *h2Client) fields(method string, pairs ...string) []byte {
	k.block.Reset()
	for pair := range slices.Chunk(append([]string{":method", method, ":scheme", "http", ":authority", "a", ":path", "/"}, pairs...), 2) {
		k.enc.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]})
	}
	return k.block.Bytes()
}

// get sends a GET in one frame.
func (k *h2Client) get(id uint32, pairs ...string) {
	k.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: k.fields("GET", pairs...), EndStream: true, EndHeaders: true})
}

// outcome reads until stream id is answered or reset.
func (k *h2Client) outcome(t *testing.T, id uint32) string {
	t.Helper()
	for {
		f, err := k.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				k.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			return "goaway " + f.ErrCode.String()
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return "reset " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		}
	}
}

// onH2 runs a test on the ways by which HTTP/2 comes.
func onH2(t *testing.T, addr string, test func(*testing.T, way)) {
	onEvery(t, 0, []string{addr}, func(t *testing.T, p *proxy, way way) {
		if way.proto != "HTTP/2.0" {
			t.Skip("HTTP/2 alone")
		}
		test(t, way)
		until(t, "every slot is free again", func() bool { return p.pool.Stats(time.Now()).InFlight == 0 })
	})
}

func TestFieldsOfHTTP1ResetAStream(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	onH2(t, addr, func(t *testing.T, way way) {
		k := newH2Client(t, way)
		id := uint32(1)
		expect := func(want string) {
			t.Helper()
			if got := k.outcome(t, id); got != want {
				t.Fatalf("stream %d: %s, want %s", id, got, want)
			}
			id += 2
		}
		for _, c := range []struct{ name, value, want string }{
			{"te", "trailers", "200"}, {"te", "gzip", "reset PROTOCOL_ERROR"}, {"te", "trailers, deflate", "reset PROTOCOL_ERROR"},
			{"connection", "close", "reset PROTOCOL_ERROR"}, {"keep-alive", "1", "reset PROTOCOL_ERROR"},
			{"proxy-connection", "close", "reset PROTOCOL_ERROR"}, {"transfer-encoding", "chunked", "reset PROTOCOL_ERROR"},
			{"upgrade", "websocket", "reset PROTOCOL_ERROR"}, {"x-connection", "close", "200"},
		} {
			// The second time the field is a number that the first one gave it.
			for range 2 {
				k.get(id, c.name, c.value, "x-last", "1")
				expect(c.want)
			}
		}
		// The connection goes on, and what it has learned is still known.
		k.get(id, "x-last", "1")
		expect("200")

		// In pieces, with padding and priority, in a head that is larger than what is read at a time.
		block := slices.Clone(k.fields("GET", "x-large", strings.Repeat("x", 3000), "connection", "close"))
		k.WriteHeaders(http2.HeadersFrameParam{
			StreamID: id, BlockFragment: block[:10], EndStream: true, PadLength: 7, Priority: http2.PriorityParam{Weight: 3},
		})
		k.WriteContinuation(id, false, block[10:2000])
		k.WriteContinuation(id, true, block[2000:])
		expect("reset PROTOCOL_ERROR")
		k.get(id, "x-large", strings.Repeat("x", 3000))
		expect("200")

		// In trailers.
		k.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: k.fields("POST"), EndHeaders: true})
		k.WriteData(id, false, make([]byte, 10_000))
		k.block.Reset()
		k.enc.WriteField(hpack.HeaderField{Name: "connection", Value: "close"})
		k.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: k.block.Bytes(), EndHeaders: true, EndStream: true})
		expect("reset PROTOCOL_ERROR")
		k.get(id)
		expect("200")
	})
}

func TestSettingsMaySayOneThingTwice(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100)) })
	onH2(t, addr, func(t *testing.T, way way) {
		k := newH2Client(t, way)
		k.WriteSettings(
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 20_000},
			http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7}, http2.Setting{ID: 0x99, Val: 1}, http2.Setting{ID: 0x99, Val: 2},
		)
		k.get(1)
		for {
			f, err := k.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			if d, ok := f.(*http2.DataFrame); ok {
				if len(d.Data()) != 7 {
					t.Errorf("%d bytes came, the last window was 7", len(d.Data()))
				}
				break
			}
		}
		k.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
		if got := k.outcome(t, 3); !strings.HasPrefix(got, "goaway ") {
			t.Errorf("a window that is too large: %s", got)
		}
	})
}

func TestWhatBeginsAsHTTP2MustGoOnAsThat(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s came through", r.URL) })
	onH2(t, addr, func(t *testing.T, way way) {
		for _, begin := range []string{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
			if !way.tls && begin[0] == 'G' {
				continue
			}
			_, host, _ := strings.Cut(way.url, "://")
			c, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if way.tls {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			}
			io.WriteString(c, begin)
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, iotest.ErrTimeout) {
				t.Errorf("%q: %q, %v", begin, b, err)
			}
		}
	})
}

// A first line that has nothing of HTTP may be meant as either of the protocols that a listener with HTTP/2 speaks.
func TestWhatIsOfNeitherProtocolIsNotAnswered(t *testing.T) {
	onBoth(t, func(t *testing.T) {
		p := front(t, 0, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it came through") }))
		for line, silent := range map[string]bool{"INVALID CONNECTION PREFACE": true, "GET / PREFACE": false} {
			c, r := dial(t, p.addr)
			io.WriteString(c, line+"\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if b, err := io.ReadAll(r); err != nil || silent != (len(b) == 0) || !silent && !bytes.HasPrefix(b, []byte("HTTP/1.1 400 ")) {
				t.Errorf("%s: %q, %v", line, b, err)
			}
		}
	})
}

// An old suite is told what it is.
func TestHTTP2IsNotSpokenOverOldSuites(t *testing.T) {
	p := front(t, 0, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was") }))
	a := newAuthority(t)
	config := a.server(t, "h2")
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	config.MaxVersion = tls.VersionTLS12
	_, addr := p.door(t, ServeOptions{TLS: handshaker{config}, H2: true})
	k := newH2Client(t, way{url: "https://" + addr, tls: true})
	k.get(1)
	if got := k.outcome(t, 1); got != "goaway INADEQUATE_SECURITY" {
		t.Error(got)
	}
}

// given is a connection on which b comes.
type given struct {
	net.Conn
	io.Reader
}

func (g given) Read(p []byte) (int, error) { return g.Reader.Read(p) }

// FuzzFrames holds that it does not matter how bytes come, that nothing is lost but settings, and that what has neither heads nor settings
// comes out as it went in.
func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	b.WriteString(http2.ClientPreface)
	w := http2.NewFramer(&b, nil)
	w.WriteSettings(http2.Setting{ID: 4, Val: 1}, http2.Setting{ID: 4, Val: 2})
	k := &h2Client{}
	k.enc = hpack.NewEncoder(&k.block)
	for i, name := range []string{"te", "x"} {
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: k.fields("GET", name, "a"), EndHeaders: true})
		w.WriteData(uint32(2*i+1), true, make([]byte, 30))
	}
	f.Add(b.Bytes(), 5)
	f.Add(b.Bytes()[:b.Len()-10], 24)
	f.Add([]byte(http2.ClientPreface+"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00"), 30)
	f.Fuzz(func(t *testing.T, in []byte, early int) {
		early = min(max(early, 0), len(in))
		read := func(early []byte, r io.Reader) []byte {
			out, err := io.ReadAll(newFrames(given{Reader: r}, early))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		want := read(nil, bytes.NewReader(in))
		for name, got := range map[string][]byte{
			"byte by byte": read(nil, iotest.OneByteReader(bytes.NewReader(in))),
			"early":        read(in[:early], bytes.NewReader(in[early:])),
		} {
			if !bytes.Equal(got, want) {
				t.Fatalf("%s: %x, want %x", name, got, want)
			}
		}
		if kinds := kindsOf(in); !strings.ContainsAny(kinds, "149") && !bytes.Equal(want, in) {
			t.Fatalf("%x came out as %x", in, want)
		}
		if len(want) > len(in)+13*strings.Count(kindsOf(in), "1")+13*strings.Count(kindsOf(in), "9") {
			t.Fatalf("%d bytes became %d", len(in), len(want))
		}
	})
}

// kindsOf has a digit for the kind of each frame.
func kindsOf(in []byte) string {
	var out strings.Builder
	for in = in[min(len(in), len(http2.ClientPreface)):]; len(in) >= frameHead; {
		fmt.Fprintf(&out, "%d", min(in[3], 10)%10)
		in = in[min(len(in), frameHead+int(in[0])<<16+int(in[1])<<8+int(in[2])):]
	}
	return out.String()
}

// endless is a connection on which the same comes again and again.
type endless struct {
	net.Conn
	b  []byte
	at int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.b[e.at:])
	e.at = (e.at + n) % len(e.b)
	return n, nil
}

// BenchmarkFrames measures what it costs to look at the head of a request, which a browser repeats but for its path.
func BenchmarkFrames(b *testing.B) {
	var in bytes.Buffer
	w := http2.NewFramer(&in, nil)
	k := &h2Client{}
	k.enc = hpack.NewEncoder(&k.block)
	head := func() {
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: k.fields("GET",
			"user-agent", "h2load", "accept", "*/*", "accept-encoding", "gzip", "cookie", "a=b", "x-request", "the same each time")})
	}
	in.WriteString(http2.ClientPreface)
	head()
	first := bytes.Clone(in.Bytes())
	in.Reset()
	head()
	f := newFrames(&endless{b: in.Bytes()}, first)
	frame := make([]byte, in.Len())
	io.CopyN(io.Discard, f, int64(len(first)))
	for b.Loop() {
		io.ReadFull(f, frame[:frameHead])
		io.ReadFull(f, frame[frameHead:])
	}
}
