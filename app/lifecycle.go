package app

import (
	"time"

	"github.com/weirlb/weir/admin"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/fleet"
)

func hooksOf(c *config.Pool) (hooks []fleet.Hook) {
	for _, h := range c.Lifecycle.Hooks {
		one := fleet.Hook{
			Name: h.Name, On: fleet.Transition(h.On), Command: h.Exec, Timeout: time.Duration(h.Timeout),
			Default: fleet.Result(h.DefaultResult), Metadata: h.Metadata,
		}
		if h.Webhook != nil {
			one.URL, one.Headers = h.Webhook.URL, h.Webhook.Headers
		}
		hooks = append(hooks, one)
	}
	return hooks
}

func livesOf(c *config.Pool) control.Lifecycle {
	l := control.Lifecycle{MaxLifetime: time.Duration(c.Lifecycle.MaxLifetime), GraceFactor: c.Lifecycle.HealthGraceFactor}
	if g := c.Lifecycle.HealthGrace; g != nil {
		l.Grace = new(time.Duration(*g))
	}
	return l
}

// hookEnv tells the program of a hook where the admin API is, in the variable that the commands of weir read.
func (a *App) hookEnv() []string {
	return []string{"WEIR_ADMIN=" + a.web.url()}
}

func waitsOf(waits []fleet.Wait) (out []admin.HookWait) {
	for _, w := range waits {
		out = append(out, admin.HookWait{
			Hook: w.Hook, Token: w.Token, Since: w.Since, Until: w.Until, Attempt: w.Attempt, Accepted: w.Accepted, Result: string(w.Result),
		})
	}
	return out
}
