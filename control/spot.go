package control

import (
	"time"

	"github.com/weirlb/weir/scale"
)

// drainNeed is how long what is in flight on an instance may take: what 99 of 100 requests take, and a fifth more. Before anything was measured it is
// ten seconds.
func drainNeed(service scale.Sample) time.Duration {
	if service.Count == 0 {
		return 10 * time.Second
	}
	return time.Duration(1.2 * max(service.P99, service.Mean) * float64(time.Second))
}
