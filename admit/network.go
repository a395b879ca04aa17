package admit

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Networks is an immutable set of networks, found in a time that grows with the logarithm of their number. A nil *Networks is empty.
type Networks struct {
	v4, v6 ranges
}

// NewNetworks returns the set of these networks. IPv4 networks written as IPv6 ("::ffff:10.0.0.0/104") are taken as IPv4.
func NewNetworks(list []netip.Prefix) *Networks {
	n := &Networks{}
	n.v4, n.v6 = newRanges(list, nil, false)
	return n
}

// ParseNetworks reads networks and single addresses: "10.0.0.0/8", "192.0.2.1", "2001:db8::/32".
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if addr, e := netip.ParseAddr(s); e == nil {
			p, err = netip.PrefixFrom(addr.WithZone(""), addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither a network nor an address; write 10.0.0.0/8 or 192.0.2.1", s)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%q has bits set beyond its /%d; write %s", s, p.Bits(), p.Masked())
		}
		out = append(out, p)
	}
	return out, nil
}

// Contains says whether an address is in one of the networks.
func (n *Networks) Contains(a netip.Addr) bool {
	if n == nil || !a.IsValid() {
		return false
	}
	return verdict(n.v4, n.v6, a)
}

// Access says which clients are let in. A nil *Access lets everybody in.
type Access struct {
	v4, v6 ranges
}

// NewAccess lets in whom the most specific network that holds it allows; of the same network in both lists deny counts. Who is in none
// is let in unless allow lists any.
func NewAccess(allow, deny []netip.Prefix) *Access {
	a := &Access{}
	a.v4, a.v6 = newRanges(allow, deny, len(allow) == 0)
	return a
}

// Admits says whether a client is let in. An invalid address is not.
func (x *Access) Admits(client netip.Addr) bool {
	if x == nil {
		return true
	}
	return client.IsValid() && verdict(x.v4, x.v6, client)
}

// Denied is the refusal of a client that Access does not let in. limit is its config key, such as "deny".
func Denied(limit string) *Refusal {
	return &Refusal{Limit: limit, Message: "this address is not let in", Status: 403}
}

// ranges cuts the addresses of one family into stretches that are treated alike: each begins where the last one ends.
type ranges []stretch

type stretch struct {
	from address
	yes  bool
}

// address is an address as a number.
type address struct{ hi, lo uint64 }

func number(a netip.Addr) address {
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a address) compare(b address) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

func verdict(v4, v6 ranges, a netip.Addr) bool {
	r := v6
	if a = a.Unmap(); a.Is4() {
		r = v4
	}
	n := number(a)
	lo, hi := 1, len(r) // the stretch sought is before lo
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); r[mid].from.hi < n.hi || r[mid].from.hi == n.hi && r[mid].from.lo <= n.lo {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return r[lo-1].yes
}

// span is a network as its first and last address.
type span struct {
	first, last address
	yes         bool
}

// newRanges cuts both families at the networks of yes and no; what is in neither is as otherwise says.
func newRanges(yes, no []netip.Prefix, otherwise bool) (v4, v6 ranges) {
	var s4, s6 []span
	for i, p := range slices.Concat(yes, no) {
		if !p.IsValid() {
			continue
		}
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += 96
		}
		is4 := p.Addr().Unmap().Is4() && bits >= 96
		s := span{first: number(p.Masked().Addr()), yes: i < len(yes)}
		s.last = s.first
		s.last.hi |= lowest(64 - bits)
		s.last.lo |= lowest(128 - bits)
		if is4 {
			s4 = append(s4, s)
		} else {
			s6 = append(s6, s)
		}
	}
	return cut(s4, otherwise), cut(s6, otherwise)
}

// lowest returns a number with its n lowest bits set.
func lowest(n int) uint64 {
	switch {
	case n <= 0:
		return 0
	case n >= 64:
		return math.MaxUint64
	}
	return 1<<n - 1
}

// cut walks through networks in order. As any two are apart or one holds the other, those that hold the present address form a stack.
func cut(spans []span, otherwise bool) ranges {
	slices.SortStableFunc(spans, func(a, b span) int { // outer ones first, of the same network yes before no
		return cmp.Or(a.first.compare(b.first), b.last.compare(a.last))
	})
	out := ranges{{yes: otherwise}}
	begin := func(at address, yes bool) {
		if out[len(out)-1].from == at {
			out = out[:len(out)-1]
		}
		if len(out) == 0 || out[len(out)-1].yes != yes {
			out = append(out, stretch{at, yes})
		}
	}
	var inside []span
	leave := func() {
		last := inside[len(inside)-1].last
		inside = inside[:len(inside)-1]
		yes := otherwise
		if len(inside) > 0 {
			yes = inside[len(inside)-1].yes
		}
		if next, ok := last.next(); ok {
			begin(next, yes)
		}
	}
	for _, s := range spans {
		for len(inside) > 0 && inside[len(inside)-1].last.compare(s.first) < 0 {
			leave()
		}
		begin(s.first, s.yes)
		inside = append(inside, s)
	}
	for len(inside) > 0 {
		leave()
	}
	return out
}

// next returns the address after a, not ok after the last.
func (a address) next() (n address, ok bool) {
	if n = (address{a.hi, a.lo + 1}); n.lo == 0 {
		n.hi++
	}
	return n, n != address{}
}

// ClientIP returns who sent a request: the peer, or when that is a trusted proxy the address that it says it forwards for, and so on
// while that is trusted too, as nginx does with real_ip_recursive. xff is the value of X-Forwarded-For; when there are several such
// headers it must be all of them joined by commas in their order, or a client could put words in its proxy's mouth. What is no address
// ends the walk: the last address that is known then counts.
func ClientIP(peer netip.Addr, xff []byte, trusted *Networks) netip.Addr {
	client := peer.Unmap().WithZone("")
	for len(xff) > 0 && trusted.Contains(client) {
		i := bytes.LastIndexByte(xff, ',')
		element := bytes.Trim(xff[i+1:], " \t")
		xff = xff[:max(i, 0)]
		if len(element) == 0 {
			continue // an empty element of a list means nothing (RFC 9110 5.6.1.2)
		}
		a, ok := parseClient(element)
		if !ok {
			break
		}
		client = a
	}
	return client
}

// parseClient reads an address, with or without a port, as some proxies write it.
func parseClient(b []byte) (netip.Addr, bool) {
	if len(b) > len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") {
		return netip.Addr{}, false
	}
	s := string(b)
	a, err := netip.ParseAddr(s)
	if err != nil {
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			a, err = netip.ParseAddr(inner[:len(inner)-1])
			if err == nil && a.Is4() {
				return netip.Addr{}, false
			}
		} else {
			var ap netip.AddrPort
			ap, err = netip.ParseAddrPort(s)
			a = ap.Addr()
		}
	}
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}
