// Package proxyproto is the PROXY protocol, versions 1 and 2, by which a balancer tells the next one who the client is:
// https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt. It reads no connection: a goroutine and an event loop use it alike.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
)

var (
	// ErrMore is what Parse returns when the header goes on after the bytes it has.
	ErrMore = errors.New("the PROXY header is not complete")
	// ErrHeader is what every other error of Parse is. The connection can only be closed.
	ErrHeader = errors.New("bad PROXY header; check that the proxy is set to send one (send-proxy in HAProxy, proxy_protocol in nginx)")
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"

	// MaxHeader is the longest header that is read, in bytes, its extensions (TLVs) included.
	MaxHeader = 16 << 10

	maxLine1 = 107 // of version 1, with CR LF
	fixed2   = 16  // bytes of version 2 before the addresses

	proxyInet, proxyInet6, proxyUnix    = 1, 2, 3     // address families
	lengthInet, lengthInet6, lengthUnix = 12, 36, 216 // of the addresses, by family
	commandLocal, commandProxy          = 0x20, 0x21  // with the version
	proxyTCP4, proxyTCP6                = 0x11, 0x21  // families with the transport
)

// Parse reads the header that begins b: n is its length in bytes, src the client behind the proxy. A header that names none
// (LOCAL, UNKNOWN, UNSPEC, a unix socket) leaves src invalid: the connection's own peer counts. Extensions are skipped.
func Parse(b []byte) (n int, src netip.AddrPort, err error) {
	switch {
	case len(b) == 0:
		return 0, src, ErrMore
	case b[0] == signature1[0]:
		return parse1(b)
	case b[0] == signature2[0]:
		return parse2(b)
	}
	return 0, src, ErrHeader
}

// begins says whether b begins with a signature, as far as it goes.
func begins(b []byte, signature string) bool {
	n := min(len(b), len(signature))
	return string(b[:n]) == signature[:n]
}

func parse1(b []byte) (n int, src netip.AddrPort, err error) {
	if !begins(b, signature1) {
		return 0, src, ErrHeader
	}
	end := bytes.IndexByte(b[:min(len(b), maxLine1)], '\n')
	if end < 0 {
		if len(b) >= maxLine1 || bytes.IndexByte(b[:max(len(b)-1, 0)], '\r') >= 0 {
			return 0, src, ErrHeader
		}
		return 0, src, ErrMore
	}
	if end < len(signature1)+1 || b[end-1] != '\r' {
		return 0, src, ErrHeader
	}
	line := string(b[len(signature1) : end-1])
	if n := len("UNKNOWN"); len(line) >= n && line[:n] == "UNKNOWN" && (len(line) == n || line[n] == ' ') {
		if bytes.IndexByte(b[:end-1], '\r') >= 0 {
			return 0, src, ErrHeader
		}
		return end + 1, src, nil
	}
	src, ok := parseLine(line)
	if !ok {
		return 0, netip.AddrPort{}, ErrHeader
	}
	return end + 1, src, nil
}

// parseLine reads "TCP4 source destination port port".
func parseLine(line string) (src netip.AddrPort, ok bool) {
	var f [5]string
	for i := range f {
		end := len(line)
		if i < len(f)-1 {
			end = indexSpace(line)
		}
		if end < 0 {
			return src, false
		}
		f[i] = line[:end]
		line = line[min(end+1, len(line)):]
	}
	from, ok1 := parseAddr(f[0], f[1])
	_, ok2 := parseAddr(f[0], f[2])
	port, ok3 := parsePort(f[3])
	_, ok4 := parsePort(f[4])
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return src, false
	}
	return netip.AddrPortFrom(from.Unmap(), port), true
}

func indexSpace(s string) int {
	for i := range len(s) {
		if s[i] == ' ' {
			return i
		}
	}
	return -1
}

// parseAddr reads an address of a family. Those of IPv4 in a TCP6 line, which the document does not allow, are what nginx sends for an IPv4
// client that it forwards over IPv6.
func parseAddr(family, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, false
	}
	return a, family == "TCP6" || family == "TCP4" && a.Is4()
}

// parsePort reads 0 to 65535, without a sign or leading zeros.
func parsePort(s string) (uint16, bool) {
	if s == "" || s[0] == '+' || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	p, err := strconv.ParseUint(s, 10, 16)
	return uint16(p), err == nil
}

func parse2(b []byte) (n int, src netip.AddrPort, err error) {
	if !begins(b, signature2) {
		return 0, src, ErrHeader
	}
	if len(b) > 12 && b[12] != commandLocal && b[12] != commandProxy {
		return 0, src, ErrHeader
	}
	if len(b) < fixed2 {
		return 0, src, ErrMore
	}
	family, transport := b[13]>>4, b[13]&15
	length := int(binary.BigEndian.Uint16(b[14:]))
	n = fixed2 + length
	if n > MaxHeader {
		return 0, src, ErrHeader
	}
	named := b[12] == commandProxy && b[13] != 0
	if named {
		need := [...]int{proxyInet: lengthInet, proxyInet6: lengthInet6, proxyUnix: lengthUnix}
		if family < proxyInet || family > proxyUnix || transport < 1 || transport > 2 || length < need[family] {
			return 0, src, ErrHeader
		}
	}
	if len(b) < n {
		return 0, src, ErrMore
	}
	if !named {
		return n, src, nil
	}
	switch a := b[fixed2:n]; family {
	case proxyInet:
		src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(a)), binary.BigEndian.Uint16(a[8:]))
	case proxyInet6:
		src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(a)).Unmap(), binary.BigEndian.Uint16(a[32:]))
	}
	return n, src, nil
}

// Append appends the header that tells a target who the client is: version 1 or 2, src the client, dst the address that it
// connected to. If one of them is invalid, the header says that nothing is known.
func Append(b []byte, version int, src, dst netip.AddrPort) []byte {
	from, to := src.Addr().Unmap().WithZone(""), dst.Addr().Unmap().WithZone("")
	known := from.IsValid() && to.IsValid()
	if known && from.Is4() != to.Is4() { // one family for both
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	if version == 1 {
		return append1(b, known, from, to, src.Port(), dst.Port())
	}
	b = append(b, signature2...)
	switch {
	case !known:
		return append(b, commandLocal, 0, 0, 0)
	case from.Is4():
		f, t := from.As4(), to.As4()
		b = append(b, commandProxy, proxyTCP4, 0, lengthInet)
		b = append(append(b, f[:]...), t[:]...)
	default:
		f, t := from.As16(), to.As16()
		b = append(b, commandProxy, proxyTCP6, 0, lengthInet6)
		b = append(append(b, f[:]...), t[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return binary.BigEndian.AppendUint16(b, dst.Port())
}

func append1(b []byte, known bool, from, to netip.Addr, fromPort, toPort uint16) []byte {
	b = append(b, signature1...)
	switch {
	case !known:
		return append(b, "UNKNOWN\r\n"...)
	case from.Is4():
		b = append(b, "TCP4 "...)
	default:
		b = append(b, "TCP6 "...)
	}
	b = append(from.AppendTo(b), ' ')
	b = append(to.AppendTo(b), ' ')
	b = append(strconv.AppendUint(b, uint64(fromPort), 10), ' ')
	b = strconv.AppendUint(b, uint64(toPort), 10)
	return append(b, "\r\n"...)
}
