package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// standIns are n instances that run on demand since an age ago.
func standIns(n int, age time.Duration) fleet {
	f := fleet{now: epoch}
	for i := range n {
		f.instances = append(f.instances, Instance{
			ID: fmt.Sprintf("od-%d", i), State: "ready", Healthy: true, Started: epoch.Add(-age), Since: epoch.Add(-age),
			Placement: Placement{Type: "gpu", Market: OnDemand, Zone: "a"},
		})
	}
	return f
}

func spotMix() *Mix {
	return &Mix{Fallback: true, Return: true, Allocation: LowestPrice, Zones: []string{"a", "b"}, Types: []MachineType{{Name: "gpu", OnDemand: 1, Spot: 0.3}}}
}

// Instances on demand give way to spot, a tenth at a time, each replacement first; the share that is to be on demand stays.
func TestStandInsGiveWayToSpot(t *testing.T) {
	const boot = 20 * time.Second
	for _, c := range []struct{ desired, base, percent, stay int }{
		{1, 0, 0, 0}, {3, 0, 0, 0}, {10, 2, 0, 2}, {20, 2, 50, 11}, {31, 0, 0, 0}, {5, 0, 100, 5},
	} {
		f, mix := standIns(c.desired, time.Hour), spotMix()
		mix.Base, mix.Percent = c.base, c.percent
		for range 3600 {
			f.now = f.now.Add(time.Second)
			for i := range f.instances {
				if one := &f.instances[i]; one.State == "pending" && f.now.Sub(one.Since) >= boot {
					one.State, one.Since, one.Healthy = "ready", f.now, true
				}
			}
			f.apply(Plan(Input{Now: f.now, Desired: c.desired, Instances: f.instances, Mix: mix}))
			f.instances = slices.DeleteFunc(f.instances, func(one Instance) bool { return one.State == "stopping" })
			ready, all := 0, 0
			for _, one := range f.instances {
				if one.State == "ready" {
					ready++
				}
				if one.State != "draining" {
					all++
				}
			}
			if ready < c.desired || all > c.desired+max(1, c.desired/10) {
				t.Fatalf("%+v: %d ready and %d in all after %v", c, ready, all, f.now.Sub(epoch))
			}
		}
		stay := 0
		for _, one := range f.instances {
			if one.Market == OnDemand {
				stay++
			}
		}
		if stay != c.stay || len(f.instances) != c.desired {
			t.Errorf("%+v: %d of %d are on demand after an hour, want %d", c, stay, len(f.instances), c.stay)
		}
	}
}

// When the exchange is not begun.
func TestStandInsStay(t *testing.T) {
	var refused, avoided Refusals
	for _, zone := range []string{"a", "b"} {
		refused.Refuse(Placement{"gpu", Spot, zone}, epoch)
		avoided.Avoid(Placement{"gpu", Spot, zone}, epoch.Add(time.Minute))
	}
	none := map[Placement]Offer{{"gpu", Spot, "a"}: {}, {"gpu", Spot, "b"}: {}}
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   int // steps
	}{
		{"there is spot", func(*Input) {}, 1},
		{"the mix says so", func(in *Input) { in.Mix.Return = false }, 0},
		{"spot was refused", func(in *Input) { in.Refused = &refused }, 0},
		{"spot is being taken back", func(in *Input) { in.Refused = &avoided }, 0},
		{"nothing is free", func(in *Input) { in.Offers = none }, 0},
		{"requests wait", func(in *Input) { in.Waiting = 1 }, 0},
		{"they are protected", func(in *Input) {
			for i := range in.Instances {
				in.Instances[i].Protected = true
			}
		}, 0},
		{"they are young", func(in *Input) {
			for i := range in.Instances {
				in.Instances[i].Started = epoch.Add(-time.Minute)
			}
		}, 0},
		{"all are to be on demand", func(in *Input) { in.Mix.Percent = 100 }, 0},
		{"one has a notice", func(in *Input) { in.Instances[0].Notice.Kind = Rebalance }, 1}, // which is replaced
	} {
		f := standIns(4, time.Hour)
		in := Input{Now: epoch, Desired: 4, Instances: f.instances, Mix: spotMix()}
		c.change(&in)
		if got := Plan(in); len(got) != c.want {
			t.Errorf("%s: %v, want %d steps", c.name, got, c.want)
		}
	}
}

// Whatever there is, once the steps of a plan are taken there is nothing more to do: no exchange begins that the next plan takes back.
func TestAnExchangeIsNotTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := standIns(rapid.IntRange(0, 12).Draw(t, "on_demand"), time.Hour)
		for i := range rapid.IntRange(0, 12).Draw(t, "spot") {
			state := rapid.SampledFrom([]string{"ready", "pending", "warming", "draining"}).Draw(t, "state")
			f.instances = append(f.instances, Instance{
				ID: fmt.Sprintf("s-%d", i), State: state, Healthy: true, Started: epoch.Add(-time.Minute), Since: epoch.Add(-time.Minute),
				InFlight: rapid.IntRange(0, 2).Draw(t, "in_flight"), Placement: Placement{Type: "gpu", Market: Spot, Zone: "b"},
			})
		}
		mix := spotMix()
		mix.Base, mix.Percent = rapid.IntRange(0, 4).Draw(t, "base"), rapid.IntRange(0, 100).Draw(t, "percent")
		in := Input{Now: epoch, Desired: rapid.IntRange(0, 20).Draw(t, "desired"), Waiting: rapid.IntRange(0, 1).Draw(t, "waiting"), Mix: mix}
		in.Instances = f.instances
		f.apply(Plan(in))
		in.Instances = f.instances
		for _, a := range Plan(in) {
			if _, stops := a.(Stop); !stops {
				t.Fatalf("after all steps it wants %v", a)
			}
		}
	})
}
