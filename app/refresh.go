package app

import (
	"fmt"
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet/plan"
)

func refreshOptions(r config.Refresh) control.RefreshOptions {
	return control.RefreshOptions{
		Auto: r.Auto,
		RefreshOptions: plan.RefreshOptions{
			MinHealthy: r.MinHealthyPercent, MaxHealthy: r.MaxHealthyPercent, Checkpoints: r.Checkpoints,
			CheckpointDelay: time.Duration(r.CheckpointDelay), Bake: time.Duration(r.BakeTime), Timeout: time.Duration(r.Timeout),
			Failures: r.Failures, Rollback: r.Rollback,
			Gate: plan.Gate{ErrorRate: r.Gate.ErrorPercent / 100, Latency: r.Gate.LatencyFactor, Requests: uint64(r.Gate.Requests)},
		},
	}
}

// refreshed tells of a step of a pool's instance refresh.
func (a *App) refreshed(pool string, r plan.Refresh) {
	a.web.Publish(admin.Event{Type: admin.EventRefresh, Time: time.Now(), Pool: pool, Text: fmt.Sprintf("instance refresh to version %d: %s", r.To, r.Why), Data: r})
}

// Refresh begins, cancels or rolls back a pool's instance refresh. It implements admin.Operator.
func (a *App) Refresh(pool string, what admin.RefreshOrder) error {
	lp, err := a.pool(pool)
	if err != nil {
		return err
	}
	scaled := lp.scaled.Load()
	if scaled == nil {
		return fmt.Errorf("pool %s has fixed targets; only instances that Weir launched from a template can be refreshed", pool)
	}
	switch what {
	case admin.RefreshCancel:
		return scaled.loop.CancelRefresh()
	case admin.RefreshRollback:
		return scaled.loop.RollbackRefresh()
	}
	return scaled.loop.Refresh(what == admin.RefreshAll)
}
