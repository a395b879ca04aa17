package admit

import (
	"testing"
	"time"
)

// turns serves what waits one after the other on one slot and tells whose turns it was.
func turns(q *Line, n int, took func(*waiter) time.Duration) (tenants []uint64) {
	for range n {
		e := q.First()
		if e == nil {
			return tenants
		}
		x := e.Owner.(*waiter)
		q.Remove(e)
		q.Start(e, &x.r)
		q.End(e, took(x))
		tenants = append(tenants, x.r.Tenant)
	}
	return tenants
}

func several(q *Line, tenant uint64, n int) {
	for range n {
		x := &waiter{r: Request{Arrived: t0, Tenant: tenant}}
		q.Arrive(&x.Entry)
		x.push(q, nil)
	}
}

func count(tenants []uint64, tenant uint64) (n int) {
	for _, t := range tenants {
		if t == tenant {
			n++
		}
	}
	return n
}

func lasting(d time.Duration) func(*waiter) time.Duration {
	return func(*waiter) time.Duration { return d }
}

func TestATenantPaysWhatItsRequestsReallyTook(t *testing.T) {
	q := NewLine(Rule{}, t0)
	several(q, 1, 100)
	several(q, 2, 100)
	// The first request of one tenant takes a hundred times what was expected: the other has a hundred turns before the next.
	long := true
	got := turns(q, 60, func(x *waiter) time.Duration {
		if x.r.Tenant == 1 && long {
			long = false
			return 100 * time.Second
		}
		return time.Second
	})
	if n := count(got, 1); n != 1 {
		t.Errorf("it had %d turns of the first 60", n)
	}
}

func TestNobodySavesUpTurns(t *testing.T) {
	q := NewLine(Rule{}, t0)
	stays := &waiter{r: Request{Arrived: t0, Tenant: 2}} // holds another slot throughout, so that its tenant is not forgotten
	q.Arrive(&stays.Entry)
	q.Start(&stays.Entry, &stays.r)
	several(q, 1, 1000)
	turns(q, 500, lasting(time.Second))
	several(q, 2, 1000)
	if n := count(turns(q, 100, lasting(time.Second)), 2); n < 45 || n > 55 {
		t.Errorf("the tenant that came back had %d of 100 turns", n)
	}
}

func TestAServiceOutOfTurnDoesNotMoveWhereNewTenantsBegin(t *testing.T) {
	q := NewLine(Rule{}, t0)
	several(q, 1, 10)
	several(q, 2, 1000)
	first := q.First().Owner.(*waiter)
	q.Remove(&first.Entry)
	q.Start(&first.Entry, &first.r)
	q.End(&first.Entry, 500*time.Second) // tenant 1 has had much
	// A slot that only its next request can use becomes free.
	var s Side
	x := &waiter{r: Request{Arrived: t0, Tenant: 1}}
	q.Arrive(&x.Entry)
	x.push(q, &s)
	q.Remove(&x.Entry)
	q.Start(&x.Entry, &x.r)
	q.End(&x.Entry, time.Second)
	several(q, 3, 100)
	if n := count(turns(q, 100, lasting(time.Second)), 3); n < 45 || n > 55 {
		t.Errorf("the new tenant had %d of 100 turns", n)
	}
}

func TestTenantsAreForgotten(t *testing.T) {
	q := NewLine(Rule{}, t0)
	for tenant := range uint64(1000) {
		several(q, tenant+1, 1)
	}
	if q.Tenants() != 1000 {
		t.Fatalf("%d tenants", q.Tenants())
	}
	turns(q, 1000, lasting(time.Second))
	q.Sweep(t0.Add(time.Minute))
	if q.Tenants() != 0 {
		t.Errorf("%d tenants are remembered that have nothing here", q.Tenants())
	}
}
