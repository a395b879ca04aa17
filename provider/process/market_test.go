package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

func TestMarketErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`capacity: 3`, `write {"g4dn.xlarge/spot/a": {"capacity": 3}}`},
		{`{"a/spot": {"capacities": 3}}`, "capacities"},
		{`{"a": {}}`, `"a" is not a placement; write type/spot/zone`},
		{`{"a/cheap/b": {}}`, "is not a placement"},
		{`{"a/spot/b/c": {}}`, "is not a placement"},
		{`{"a/spot": {"capacity": -1}}`, "a/spot: capacity -1; write 0 or more"},
		{`{"a/spot": {"price": -1}}`, "price -1"},
		{`{"a/spot": {"interrupt": {"notice": "1m"}}}`, `has no "at"`},
		{`{"a/spot": {"interrupt": {"at": "2026-01-05T09:00:00Z", "notice": "soon"}}}`, "write one such as 120s"},
	} {
		file := filepath.Join(t.TempDir(), "market.json")
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadMarket(file); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzMarket(f *testing.F) {
	f.Add([]byte(`{"a/spot/b": {"capacity": 3, "price": 0.2, "interrupt": {"at": "2026-01-05T09:00:00Z", "notice": "30s", "count": 1}, "rebalance": "2026-01-05T09:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMarket("market.json", b)
		if err != nil {
			return
		}
		for place := range m {
			if p, err := placementOf(place); err != nil || p.String() != place {
				t.Errorf("%q is %v, %v", place, p, err)
			}
		}
	})
}

func TestOffers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "market.json")
	if err := os.WriteFile(file, []byte(`{"small/spot/a": {"capacity": 3, "price": 0.2}, "small/spot/b": {}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.buy("small/spot/a", file); err != nil {
		t.Fatal(err)
	}
	got, err := p.Offers(file)
	if a, b := got[plan.Placement{Type: "small", Market: plan.Spot, Zone: "a"}], got[plan.Placement{Type: "small", Market: plan.Spot, Zone: "b"}]; err != nil || a.Free != 2 || a.Price != 0.2 || b.Free < 100 {
		t.Errorf("%v, %v", got, err)
	}
	if err := os.WriteFile(file, []byte(`{"small/spot/a": {"capacity": 1}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Chtimes(file, time.Now().Add(time.Hour), time.Now().Add(time.Hour))
	if err := p.buy("small/spot/a", file); err == nil {
		t.Error("a second one was sold where there is one")
	}
}
