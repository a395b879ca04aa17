package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/fleet/plan"
)

type refreshCmd struct {
	remote
	Pool     string `arg:"" help:"The pool."`
	Force    bool   `help:"Replace all instances, also those that are of the present template already."`
	Cancel   bool   `help:"Stop a refresh where it stands."`
	Rollback bool   `help:"Go back to the template before."`
	Status   bool   `help:"Only say how far it is."`
	Wait     bool   `help:"Wait until it has ended; ends with exit code 1 unless it succeeded."`
}

func (refreshCmd) Help() string {
	return `A few instances at a time: new ones are launched, checked and warmed up, old ones finish what they have in flight. What it keeps to is under
refresh: in the pool's config; a reload that changes the template begins one by itself unless auto is false.

  weir refresh chat                # after a change of the template, where auto: false
  weir refresh chat --force        # for new weights behind the same command
  weir refresh chat --rollback     # back to the template before`
}

func (c *refreshCmd) Run(o *output) error {
	order, n := admin.RefreshOutdated, 0
	for _, f := range []struct {
		on    bool
		order admin.RefreshOrder
	}{{c.Force, admin.RefreshAll}, {c.Cancel, admin.RefreshCancel}, {c.Rollback, admin.RefreshRollback}, {c.Status, ""}} {
		if f.on {
			order = f.order
			n++
		}
	}
	if n > 1 {
		return usageError{errors.New("weir refresh: write one of --force, --cancel, --rollback and --status")}
	}
	if order != "" {
		if err := c.order("POST", pathOf(c.Pool, "refresh"), map[string]any{"order": order}); err != nil {
			return err
		}
	}
	return c.show(o)
}

// show prints how far a refresh is, and with Wait goes on until it has ended.
func (c *refreshCmd) show(o *output) error {
	last := ""
	for {
		p, err := c.status()
		if err != nil {
			return err
		}
		r := p.Refresh
		if r == nil {
			fmt.Fprintf(o.out, "%s was never refreshed; new instances are of version %d of its template\n", c.Pool, p.Version)
			return nil
		}
		if line := fmt.Sprintf("%s: %s, %d %% replaced, version %d to %d: %s", c.Pool, r.State, r.Percent, r.From, r.To, r.Why); line != last {
			fmt.Fprintln(o.out, line)
			last = line
		}
		if !c.Wait {
			return nil
		}
		if !r.Active() {
			if r.State != plan.Succeeded {
				return fmt.Errorf("the refresh of %s ended as %s: %s", c.Pool, r.State, r.Why)
			}
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (c *refreshCmd) status() (*admin.Pool, error) {
	b, err := c.do("GET", "/v1/status", nil)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var st admin.Status
	if err := json.NewDecoder(b).Decode(&st); err != nil {
		return nil, fmt.Errorf("reading the status: %w", err)
	}
	for i := range st.Pools {
		if st.Pools[i].Name == c.Pool {
			return &st.Pools[i], nil
		}
	}
	return nil, fmt.Errorf("there is no pool %s", c.Pool)
}
