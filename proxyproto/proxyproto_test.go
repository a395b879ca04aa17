package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	oracle "github.com/pires/go-proxyproto"
)

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

func TestParse(t *testing.T) {
	long := "PROXY UNKNOWN " + strings.Repeat("f", 107-len("PROXY UNKNOWN ")-2) + "\r\n"
	for _, c := range []struct {
		in   string
		src  string // "" for none
		rest int
		err  error
	}{
		{"PROXY TCP4 192.0.2.1 198.51.100.1 5000 80\r\nGET /", "192.0.2.1:5000", 5, nil},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 5000 80\r\n", "[2001:db8::1]:5000", 0, nil},
		{"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5000 80\r\n", "192.0.2.1:5000", 0, nil},
		{"PROXY TCP6 192.0.2.1 2001:db8::2 5000 80\r\n", "192.0.2.1:5000", 0, nil}, // nginx
		{"PROXY UNKNOWN\r\nGET /", "", 5, nil},
		{"PROXY UNKNOWN what ever\r\n", "", 0, nil},
		{long, "", 0, nil},
		{strings.Replace(long, " f", " ff", 1), "", 0, ErrHeader},
		{"PROXY UNKNOWNX\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 2001:db8::1 2001:db8::2 5000 80\r\n", "", 0, ErrHeader},
		{"PROXY TCP6 fe80::1%eth0 2001:db8::2 5000 80\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 5000 65536\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 05000 80\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 +500 80\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 5000 80 \r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1  198.51.100.1 5000 80\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 5000\r\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1 198.51.100.1 5000 80\n", "", 0, ErrHeader},
		{"PROXY TCP4 192.0.2.1\r 198.51.100.1 5000 80\r\n", "", 0, ErrHeader},
		{"PROXY UDP4 192.0.2.1 198.51.100.1 5000 80\r\n", "", 0, ErrHeader},
		{"PROXY \r\n", "", 0, ErrHeader},
		{"GET / HTTP/1.1\r\n", "", 0, ErrHeader},
		{"POST / HTTP/1.1\r\n", "", 0, ErrHeader},
		{v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x13\x88\x00\x50GET", "192.0.2.1:5000", 3, nil},
		{v2 + "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x01\x13\x88\x00\x50\x04\x00\x02abGET", "192.0.2.1:5000", 3, nil}, // with a TLV
		{v2 + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x13\x88\x00\x50", "192.0.2.1:5000", 0, nil},
		{v2 + "\x21\x21\x00\x24" + strings.Repeat("\x20", 32) + "\x13\x88\x00\x50", "[2020:2020:2020:2020:2020:2020:2020:2020]:5000", 0, nil},
		{v2 + "\x21\x31\x00\xd8" + strings.Repeat("x", 216) + "GET", "", 3, nil},
		{v2 + "\x20\x00\x00\x00GET", "", 3, nil},                // LOCAL
		{v2 + "\x20\x11\x00\x0caaaabbbbccccGET", "", 3, nil},    // LOCAL with addresses that do not count
		{v2 + "\x21\x00\x00\x05\x04\x00\x02abGET", "", 3, nil},  // UNSPEC
		{v2 + "\x22\x11\x00\x0caaaabbbbcccc", "", 0, ErrHeader}, // an unknown command
		{v2 + "\x11\x11\x00\x0caaaabbbbcccc", "", 0, ErrHeader}, // version 1
		{v2 + "\x21\x41\x00\x0caaaabbbbcccc", "", 0, ErrHeader}, // an unknown family
		{v2 + "\x21\x10\x00\x0caaaabbbbcccc", "", 0, ErrHeader}, // no transport
		{v2 + "\x21\x11\x00\x0baaaabbbbccc", "", 0, ErrHeader},  // too short for its family
		{v2 + "\x21\x11\xff\xff", "", 0, ErrHeader},             // longer than is read
	} {
		n, src, err := Parse([]byte(c.in))
		if !errors.Is(err, c.err) {
			t.Errorf("%q: error %v, want %v", c.in, err, c.err)
			continue
		}
		if c.err != nil {
			continue
		}
		if n != len(c.in)-c.rest || (src.IsValid() || c.src != "") && src.String() != c.src {
			t.Errorf("%q: %d bytes, %v; want %d, %s", c.in, n, src, len(c.in)-c.rest, c.src)
		}
		for i := range n { // however it is cut
			if _, _, err := Parse([]byte(c.in[:i])); !errors.Is(err, ErrMore) {
				t.Errorf("%q: %v, want %v", c.in[:i], err, ErrMore)
			}
		}
	}
}

func TestAppend(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("[2001:db8::2]:80")
	for _, c := range []struct {
		src, dst netip.AddrPort
		line     string
	}{
		{v4, v4, "PROXY TCP4 192.0.2.1 192.0.2.1 5000 5000\r\n"},
		{v6, v6, "PROXY TCP6 2001:db8::2 2001:db8::2 80 80\r\n"},
		{v4, v6, "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5000 80\r\n"},
		{netip.AddrPort{}, v4, "PROXY UNKNOWN\r\n"},
	} {
		if got := string(Append(nil, 1, c.src, c.dst)); got != c.line {
			t.Errorf("%q, want %q", got, c.line)
		}
		for version := 1; version <= 2; version++ {
			b := Append([]byte("kept"), version, c.src, c.dst)[4:]
			n, src, err := Parse(b)
			if err != nil || n != len(b) || src != c.src {
				t.Errorf("version %d of %v: %d, %v, %v", version, c.src, n, src, err)
			}
			h, err := oracle.Read(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				t.Errorf("version %d of %v: the library says %v", version, c.src, err)
			} else if a, ok := h.SourceAddr.(*net.TCPAddr); ok && (a.Port != int(c.src.Port()) || !a.IP.Equal(c.src.Addr().AsSlice())) {
				t.Errorf("version %d of %v: the library reads %v", version, c.src, a)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	a, b := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("[2001:db8::2]:80")
	for _, v := range []int{1, 2} {
		f.Add(Append(nil, v, a, a))
		f.Add(Append(nil, v, b, b))
		f.Add(Append(nil, v, a, netip.AddrPort{}))
	}
	f.Add([]byte(v2 + "\x21\x31\x00\xd8" + strings.Repeat("x", 216)))
	f.Add([]byte("PROXY UNKNOWN x\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		n, src, err := Parse(in)
		h, liberr := oracle.Read(bufio.NewReaderSize(bytes.NewReader(in), MaxHeader))
		if err != nil {
			if n != 0 || src.IsValid() {
				t.Fatalf("an error with %d, %v", n, src)
			}
			if liberr == nil && h.Command == oracle.PROXY && len(in) < MaxHeader && differs(in) == "" {
				t.Fatalf("refused (%v), the library reads %+v", err, h)
			}
			return
		}
		if n <= 0 || n > len(in) || n > MaxHeader {
			t.Fatalf("%d of %d bytes", n, len(in))
		}
		for i := range n {
			if _, _, err := Parse(in[:i]); !errors.Is(err, ErrMore) {
				t.Fatalf("%q, the beginning of a good header: %v", in[:i], err)
			}
		}
		if liberr != nil {
			if differs(in) == "" {
				t.Fatalf("accepted, the library says %v", liberr)
			}
			return
		}
		switch a := h.SourceAddr.(type) {
		case *net.TCPAddr:
			same(t, src, a.IP, a.Port, h)
		case *net.UDPAddr:
			same(t, src, a.IP, a.Port, h)
		default:
			if src.IsValid() {
				t.Fatalf("%v, the library reads no address", src)
			}
		}
	})
}

func same(t *testing.T, src netip.AddrPort, ip net.IP, port int, h *oracle.Header) {
	t.Helper()
	if h.Command.IsLocal() {
		return
	}
	if !src.IsValid() || int(src.Port()) != port || !ip.Equal(src.Addr().AsSlice()) {
		t.Fatalf("%v, the library reads %v %d", src, ip, port)
	}
}

// differs names what the library and we decide differently, on purpose.
func differs(in []byte) string {
	line, _, _ := bytes.Cut(in, []byte("\n"))
	switch {
	case bytes.HasPrefix(in, []byte("PROXY TCP6")) && bytes.Contains(line, []byte(".")):
		return "IPv4 addresses in a TCP6 line"
	case bytes.HasPrefix(in, []byte(v2+"\x20")):
		return "LOCAL, whose family and addresses have to be ignored whatever they are"
	case bytes.HasPrefix(in, []byte(v2+"\x21\x00")):
		return "UNSPEC, which may be accepted or not"
	}
	return ""
}

func BenchmarkParse(b *testing.B) {
	for _, v := range []int{1, 2} {
		h := Append(nil, v, netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("198.51.100.1:80"))
		b.Run(string(rune('0'+v)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(h)
			}
		})
	}
}
