// Package fleet runs the instances behind a pool: it carries out the plan through a Provider, watches each
// instance from launch to end, and keeps what it must not forget on disk.
package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/weirlb/weir/fleet/plan"
)

// ErrGone says that an instance that was to be adopted no longer runs.
var ErrGone = errors.New("the instance no longer runs")

// ErrCapacity says that a provider has no such machine now: its type, market and zone are left alone for a while, and
// others are tried.
var ErrCapacity = errors.New("insufficient capacity")

// Provider is where instances come from.
//
// Launch returns when the instance exists, not when it is ready. Spec.ID is chosen by the caller and written to
// disk before Launch is called, so that Adopt can find an instance whose launch was cut short by a crash.
// Adopt takes over an instance that an earlier Weir launched; ref is what Handle.Ref returned, or "" when the crash came
// before it was recorded. Adopt returns ErrGone when nothing runs under that id.
type Provider interface {
	Launch(ctx context.Context, s Spec) (Handle, error)
	Adopt(ctx context.Context, id, ref string) (Handle, error)
}

// Handle is a provider's hold on one instance.
type Handle interface {
	Ref() string              // what Adopt needs to find the instance again; opaque, short, printable
	Addr() string             // host:port that it will serve on
	Done() <-chan struct{}    // closed when the instance has ended, for whatever reason
	Exit() string             // after Done: how it ended, in words ("exit status 1", "killed by SIGKILL (out of memory?)")
	Usage() (Usage, error)    // what it uses now; an error means unknown, which is not zero
	Stop(grace time.Duration) // begins to end it: asked politely now, by force after grace; returns at once, Done tells
}

// Usage is what an instance uses of its machine.
type Usage struct {
	CPU    float64 // percent of one core, averaged since the previous call; 150 is one and a half cores
	Memory uint64  // resident bytes
}

// Spec is one launch: a template with the instance's own facts.
type Spec struct {
	ID       string // unique on this Weir, [a-z0-9-]+
	Pool     string
	Template Template
	plan.Placement
	MarketFile string // what the process provider may launch of each placement, as JSON; "" sets no limit
}

// Template is how to launch one instance.
type Template struct {
	Provider string            // "process"
	Command  []string          // Go template per word: {{.Port}}, {{.ID}}, {{.Pool}}
	Env      map[string]string // added to Weir's own environment; values are Go templates too
	Dir      string            // working directory; "" is Weir's own
	Limits   Limits
	Log      Log
}

// Limits bounds what one instance may use; zero values mean no limit.
type Limits struct {
	Memory    uint64        // bytes of address space (RLIMIT_AS)
	CPUTime   time.Duration // processor time (RLIMIT_CPU)
	OpenFiles uint64        // descriptors (RLIMIT_NOFILE)
	Nice      int           // scheduling niceness, 0 to 19
}

// Log says how an instance's output is kept.
type Log struct {
	MaxSize uint64 // bytes in one file before it is rotated
	Keep    int    // rotated files kept beside the current one
}

// State is where an instance stands in its life.
type State string

// The life of an instance, in order, and Unhealthy beside it.
const (
	Pending   State = "pending"   // decided, not launched yet
	Starting  State = "starting"  // launched; has not passed its first readiness check
	Warming   State = "warming"   // ready by its own word; its warm-up request runs
	Ready     State = "ready"     // its target takes requests
	Unhealthy State = "unhealthy" // was ready and fails its checks
	Draining  State = "draining"  // takes nothing new, finishes what is in flight
	Stopping  State = "stopping"  // was told to end
	Gone      State = "gone"      // ended
)
