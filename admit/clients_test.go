package admit

import (
	"net/netip"
	"sync"
	"testing"
)

func TestKeysOfNetworks(t *testing.T) {
	for _, c := range []struct {
		ipv4, ipv6 int
		a, b       string
		same       bool
	}{
		{0, 0, "192.0.2.1", "192.0.2.1", true},
		{0, 0, "192.0.2.1", "192.0.2.2", false},
		{0, 0, "192.0.2.1", "::ffff:192.0.2.1", true},
		{24, 0, "192.0.2.1", "192.0.2.255", true},
		{24, 0, "192.0.2.1", "192.0.3.1", false},
		{20, 0, "192.0.16.1", "192.0.31.1", true},
		{20, 0, "192.0.16.1", "192.0.32.1", false},
		{0, 0, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{0, 0, "2001:db8::1", "2001:db8:0:1::1", false},
		{0, 128, "2001:db8::1", "2001:db8::2", false},
		{0, 61, "2001:db8:0:8::", "2001:db8:0:f::", true},
		{0, 61, "2001:db8:0:8::", "2001:db8:0:10::", false},
		{0, 0, "fe80::1%eth0", "fe80::1%eth1", true},
	} {
		k, err := NewKeys(c.ipv4, c.ipv6)
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Network(netip.MustParseAddr(c.a)) == k.Network(netip.MustParseAddr(c.b)); got != c.same {
			t.Errorf("%s and %s by /%d and /%d: same %v", c.a, c.b, c.ipv4, c.ipv6, got)
		}
	}
	for _, n := range [][2]int{{33, 0}, {-1, 0}, {7, 0}, {0, 129}, {0, 8}} {
		if _, err := NewKeys(n[0], n[1]); err == nil {
			t.Errorf("/%d and /%d are taken", n[0], n[1])
		}
	}
}

func TestAPIKey(t *testing.T) {
	for in, want := range map[string]string{
		"Bearer sk-1": "sk-1", "bearer  sk-1": "sk-1", "BEARER sk 1": "sk 1", "Basic dTpw": "Basic dTpw", "": "", "Bearer": "Bearer", "Bearer ": "Bearer ",
	} {
		if got := string(APIKey([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAClientHasOnlySoMuchUnderWay(t *testing.T) {
	c, err := NewClients(2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if c.Enter(1) != want {
			t.Errorf("entering for the %d. time: not %v", i+1, want)
		}
	}
	if !c.Enter(2) {
		t.Error("one client's limit binds another")
	}
	c.Leave(1)
	for i, want := range []bool{true, false} {
		if c.Enter(1) != want {
			t.Errorf("after leaving, for the %d. time: not %v", i+1, want)
		}
	}
	if err := c.SetLimit(1); err != nil || c.Enter(2) {
		t.Error("a lower limit does not hold", err)
	}
	if err := c.SetLimit(0); err == nil {
		t.Error("a limit of 0 is taken")
	}
	c.Leave(1)
	c.Leave(1)
	c.Leave(2)
	for i := range c.shards {
		if n := len(c.shards[i].n); n != 0 {
			t.Errorf("%d clients are remembered that have nothing under way", n)
		}
	}
	if c.Count(1) != 0 {
		t.Error("the count is not 0")
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	c, _ := NewClients(3)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				if key := uint64(i % 5); c.Enter(key) {
					if n := c.Count(key); n < 1 || n > 3 {
						t.Errorf("%d under way", n)
					}
					c.Leave(key)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkEnterLeave(b *testing.B) {
	c, _ := NewClients(10)
	k, _ := NewKeys(0, 0)
	a := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		key := k.Network(a)
		c.Enter(key)
		c.Leave(key)
	}
}
