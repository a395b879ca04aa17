package load

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/bench/internal/procstat"
)

// hold opens all requests, reads the proxy's memory while the target answers
// none of them, and then waits for all answers. Units counts the answers.
func (r *run) hold() (err error) {
	if r.result.Before, err = procstat.ReadMemory(r.PIDs); err != nil {
		return err
	}
	before, err := r.sample()
	if err != nil {
		return err
	}
	d := driver{
		opened:   func(c *conn) { r.send(c, time.Now()) },
		answered: func(c *conn, now time.Time) { r.count(now.Sub(c.since)) },
	}
	if err := r.open(d.opened); err != nil {
		return err
	}
	if err := r.loop(time.Now().Add(r.WarmUp), d); err != nil {
		return err
	}
	if r.result.Units > 0 {
		return fmt.Errorf("%d of %d requests were answered before the memory could be read: the target must hold them longer than %v",
			r.result.Units, r.Conns, time.Since(before.at).Round(time.Millisecond))
	}
	if r.result.After, err = procstat.ReadMemory(r.PIDs); err != nil {
		return err
	}
	for end := time.Now().Add(r.For); r.result.Units < int64(r.Conns) && time.Now().Before(end); {
		if err := r.loop(time.Now().Add(100*time.Millisecond), d); err != nil {
			return err
		}
	}
	if missing := int64(r.Conns) - r.result.Units; missing > 0 {
		r.result.Errors += missing
		r.note(fmt.Sprintf("%d held requests were not answered within %v", missing, r.For))
	}
	after, err := r.sample()
	if err != nil {
		return err
	}
	r.settle(before, after)
	return nil
}
