package admit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(t testing.TB, list ...string) []netip.Prefix {
	t.Helper()
	p, err := ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNetworks(t *testing.T) {
	n := NewNetworks(prefixes(t, "10.0.0.0/8", "10.1.0.0/16", "192.0.2.1", "255.255.255.255", "2001:db8::/32", "ffff::/16", "::1", "0.0.0.0/32"))
	for in, want := range map[string]bool{
		"10.0.0.0": true, "10.1.2.3": true, "10.255.255.255": true, "9.255.255.255": false, "11.0.0.0": false, "0.0.0.0": true, "0.0.0.1": false,
		"192.0.2.1": true, "192.0.2.0": false, "192.0.2.2": false, "255.255.255.255": true, "255.255.255.254": false,
		"2001:db8::": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db9::": false, "::1": true, "::2": false, "::": false,
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": true, "fffe::": false, "::ffff:10.0.0.1": true, "2001:db8::1%eth0": true,
	} {
		if got := n.Contains(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
	if n.Contains(netip.Addr{}) || (*Networks)(nil).Contains(netip.MustParseAddr("10.0.0.1")) || NewNetworks(nil).Contains(netip.MustParseAddr("::1")) {
		t.Error("nothing is in something")
	}
	if NewNetworks(prefixes(t, "::/0")).Contains(netip.MustParseAddr("10.0.0.1")) {
		t.Error("every IPv6 address is not every IPv4 address")
	}
	if !NewNetworks([]netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}).Contains(netip.MustParseAddr("10.9.9.9")) {
		t.Error("an IPv4 network written as IPv6 is not found")
	}
}

func TestTheMostSpecificNetworkDecides(t *testing.T) {
	for _, c := range []struct {
		allow, deny string
		in          map[string]bool
	}{
		{"", "", map[string]bool{"1.2.3.4": true, "::1": true}},
		{"", "1.2.3.0/24", map[string]bool{"1.2.3.4": false, "1.2.4.4": true, "::1": true}},
		{"10.0.0.0/8", "", map[string]bool{"10.2.3.4": true, "1.2.4.4": false, "::1": false}},
		{"10.0.0.0/8", "10.1.0.0/16", map[string]bool{"10.1.3.4": false, "10.2.0.0": true, "1.1.1.1": false}},
		{"10.1.0.0/16", "10.0.0.0/8", map[string]bool{"10.1.3.4": true, "10.0.255.255": false, "10.2.0.0": false}},
		{"10.1.1.1 0.0.0.0/0", "10.0.0.0/8 10.1.1.0/24", map[string]bool{"10.1.1.1": true, "10.1.1.2": false, "1.1.1.1": true, "::1": false}},
		{"10.0.0.0/8", "10.0.0.0/8", map[string]bool{"10.1.3.4": false}},
		{"10.0.0.0/9 10.128.0.0/9", "10.127.255.255 10.128.0.0",
			map[string]bool{"10.127.255.254": true, "10.127.255.255": false, "10.128.0.0": false, "10.128.0.1": true}},
	} {
		a := NewAccess(prefixes(t, strings.Fields(c.allow)...), prefixes(t, strings.Fields(c.deny)...))
		for ip, want := range c.in {
			if got := a.Admits(netip.MustParseAddr(ip)); got != want {
				t.Errorf("allow %s deny %s: %s %v", c.allow, c.deny, ip, got)
			}
		}
	}
	if NewAccess(nil, nil).Admits(netip.Addr{}) || !(*Access)(nil).Admits(netip.Addr{}) {
		t.Error("no address, or no rules")
	}
}

// Against looking at every network.
func TestAccessAsByLookingAtEveryNetwork(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		b := [4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, "b")), byte(rapid.IntRange(0, 255).Draw(t, "c")), byte(rapid.IntRange(0, 255).Draw(t, "d"))}
		return netip.PrefixFrom(netip.AddrFrom4(b), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
	})
	rapid.Check(t, func(t *rapid.T) {
		allow, deny := rapid.SliceOfN(prefix, 0, 8).Draw(t, "allow"), rapid.SliceOfN(prefix, 0, 8).Draw(t, "deny")
		access, denied := NewAccess(allow, deny), NewNetworks(deny)
		for range 20 {
			a := prefix.Draw(t, "at").Addr()
			want, bits, inside := len(allow) == 0, -1, false
			for _, p := range allow {
				if p.Contains(a) && p.Bits() > bits {
					want, bits = true, p.Bits()
				}
			}
			for _, p := range deny {
				inside = inside || p.Contains(a)
				if p.Contains(a) && p.Bits() >= bits {
					want, bits = false, p.Bits()
				}
			}
			if access.Admits(a) != want || denied.Contains(a) != inside {
				t.Fatalf("%v: admits %v, want %v; in deny %v, want %v", a, access.Admits(a), want, denied.Contains(a), inside)
			}
		}
	})
}

func TestBadNetworks(t *testing.T) {
	for _, s := range []string{"", "x", "10.0.0.0/33", "10.0.0.1/8", "10.0.0", "10.0.0.0/-1", "2001:db8::1/32", "10.0.0.0/8 "} {
		if _, err := ParseNetworks([]string{s}); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// The cases of nginx's real_ip_recursive on, and what can be wrong with the header.
func TestClientIP(t *testing.T) {
	trusted := NewNetworks(prefixes(t, "10.0.0.0/8", "192.0.2.1", "2001:db8::/32"))
	for _, c := range []struct{ peer, xff, want string }{
		{"203.0.113.9", "", "203.0.113.9"},
		{"203.0.113.9", "198.51.100.1", "203.0.113.9"}, // who is not trusted is not believed
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"}, // what stands before was said by the client
		{"10.0.0.1", "198.51.100.1, 192.0.2.1", "198.51.100.1"},
		{"10.0.0.1", "198.51.100.1,192.0.2.1,10.2.2.2", "198.51.100.1"},
		{"10.0.0.1", "10.9.9.9, 192.0.2.1", "10.9.9.9"}, // all are trusted: the first of them
		{"10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1, unknown, 10.2.2.2", "10.2.2.2"},
		{"10.0.0.1", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.1", "[2a00::1]:4711", "2a00::1"},
		{"10.0.0.1", "[2a00::1]", "2a00::1"},
		{"10.0.0.1", "2a00::1", "2a00::1"},
		{"10.0.0.1", "2a00::1, 2001:db8::7", "2a00::1"},
		{"10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"},
		{"10.0.0.1", "fe80::1%eth0", "10.0.0.1"},
		{"10.0.0.1", "[1.2.3.4]", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1, , ", "198.51.100.1"},
		{"10.0.0.1", " ,,\t,", "10.0.0.1"},
		{"10.0.0.1", "198.51.100.1\x00", "10.0.0.1"},
		{"10.0.0.1", "0198.51.100.1", "10.0.0.1"},
		{"10.0.0.1", strings.Repeat("1", 10_000), "10.0.0.1"},
	} {
		if got := ClientIP(netip.MustParseAddr(c.peer), []byte(c.xff), trusted); got != netip.MustParseAddr(c.want) {
			t.Errorf("%s via %.60q: %v, want %s", c.peer, c.xff, got, c.want)
		}
	}
	if got := ClientIP(netip.MustParseAddr("10.0.0.1"), []byte("198.51.100.1"), nil); got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("nobody is trusted: %v", got)
	}
}

func FuzzClientIP(f *testing.F) {
	trusted := NewNetworks(prefixes(f, "10.0.0.0/8", "::1"))
	f.Add("198.51.100.1, 10.0.0.7")
	f.Add("[::1]:80,x")
	f.Add("::ffff:10.0.0.1%1, ,")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, xff string) {
		got := ClientIP(peer, []byte(xff), trusted)
		if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
			t.Errorf("%q: %v", xff, got)
		}
		// Nothing that a client puts before what a proxy appended changes what is found behind an address that is not trusted.
		if forged := ClientIP(peer, []byte(xff+",203.0.113.1"), trusted); forged != netip.MustParseAddr("203.0.113.1") {
			t.Errorf("%q forges %v", xff, forged)
		}
	})
}

func FuzzParseNetworks(f *testing.F) {
	f.Add("10.0.0.0/8")
	f.Add("::ffff:1.2.3.4")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseNetworks([]string{s})
		if err == nil && !NewNetworks(p).Contains(p[0].Addr()) {
			t.Errorf("%q does not contain its own address", s)
		}
	})
}

func BenchmarkContains(b *testing.B) {
	var list []netip.Prefix
	for i := range 10_000 {
		list = append(list, netip.MustParsePrefix(fmt.Sprintf("%d.%d.%d.0/24", 11+i%100, i/100, i%251)))
	}
	n := NewNetworks(list)
	a := netip.MustParseAddr("60.50.40.30")
	b.ReportAllocs()
	for b.Loop() {
		n.Contains(a)
	}
}

func BenchmarkClientIP(b *testing.B) {
	trusted := NewNetworks(prefixes(b, "10.0.0.0/8"))
	peer, xff := netip.MustParseAddr("10.0.0.1"), []byte("198.51.100.1, 10.1.2.3")
	b.ReportAllocs()
	for b.Loop() {
		ClientIP(peer, xff, trusted)
	}
}
