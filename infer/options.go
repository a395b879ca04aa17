package infer

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// The models a server can run.
const (
	ModelImage   = "image"
	ModelChat    = "chat"
	ModelPredict = "predict"
)

// The devices a server can run them on.
const (
	DeviceCPU      = "cpu"
	DeviceEmulated = "emulated"
)

// Options are the knobs of a server. The struct tags are kong's, so that a command can embed it. Numbers and
// durations are taken as they are, 0 included: programs start from [DefaultOptions].
type Options struct {
	Host string `help:"Address to listen on." default:"127.0.0.1"`
	Port int    `help:"Port to listen on; 0 takes a free one and logs it." default:"8000"`

	Model  []string `help:"Models to run: image, chat, predict." default:"image,chat,predict" sep:","`
	Device string   `help:"Where steps run: cpu computes them, emulated gives each a set time on a device clock." default:"cpu" enum:"cpu,emulated"`
	Seed   uint64   `help:"Seed of everything random; 0 draws one and logs it." default:"0"`

	Steps    int           `help:"Diffusion steps of an image when the request names none." default:"20"`
	StepTime time.Duration `help:"Emulated: time of one diffusion step." default:"50ms"`

	Slots         int           `help:"Chat requests that run as one batch." default:"4"`
	TokenTime     time.Duration `help:"Emulated: time of one decoding step of a single sequence." default:"20ms"`
	PrefillTime   time.Duration `help:"Emulated: time of one token of a prompt." default:"200us"`
	BatchCost     float64       `help:"Emulated: share of the token time each further sequence of a batch adds." default:"0.1"`
	ContextLength int           `help:"Most tokens of one chat request, prompt and answer together." default:"16384"`

	PredictTime time.Duration `help:"Emulated: time of one prediction." default:"50ms"`

	QueueLimit  int `help:"Requests each model holds when its slots are taken; more are refused." default:"64"`
	QueueStatus int `help:"Status of a request refused because the queue is full: 429 or 503." default:"503" enum:"429,503"`

	LoadTime       time.Duration `help:"Least time the models take to load." default:"0s"`
	LoadFile       string        `help:"File of recorded load times to draw from instead (one a line or CSV, may be gzipped)."`
	LoadScale      float64       `help:"Factor on the times of the load file." default:"1"`
	CheckpointTime time.Duration `help:"Time to switch to another image checkpoint." default:"0s"`
	MemoryLimit    int64         `help:"Bytes of memory above which the readiness check memory_ok fails; 0 is no limit." default:"0"`

	Drain        bool          `help:"On SIGTERM finish what was accepted before exiting." default:"false"`
	DrainTimeout time.Duration `help:"Longest drain; 0 waits without limit." default:"300s"`

	// Logger takes the log; nil is [slog.Default].
	Logger *slog.Logger `kong:"-"`
	// Listener is served instead of Host and Port when set.
	Listener net.Listener `kong:"-"`
	// Exit ends the process for the die fault and on a second signal; nil is [os.Exit].
	Exit func(code int) `kong:"-"`
}

// DefaultOptions returns the values the struct tags name.
func DefaultOptions() Options {
	return Options{
		Host: "127.0.0.1", Port: 8000,
		Model: []string{ModelImage, ModelChat, ModelPredict}, Device: DeviceCPU,
		Steps: 20, StepTime: 50 * time.Millisecond,
		Slots: 4, TokenTime: 20 * time.Millisecond, PrefillTime: 200 * time.Microsecond, BatchCost: 0.1,
		ContextLength: 16384, PredictTime: 50 * time.Millisecond,
		QueueLimit: 64, QueueStatus: 503, LoadScale: 1, DrainTimeout: 300 * time.Second,
	}
}

// Validate names every option that cannot be used and says what to give instead.
func (o *Options) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	known := []string{ModelImage, ModelChat, ModelPredict}
	for _, m := range o.Model {
		bad(slices.Contains(known, m), "model: %q is not a model; give one or more of %s", m, strings.Join(known, ", "))
	}
	bad(o.Device == "" || o.Device == DeviceCPU || o.Device == DeviceEmulated,
		"device: %q is not a device; give cpu or emulated", o.Device)
	bad(o.Port >= 0 && o.Port <= 65535, "port: %d is not a port; give 0 to 65535", o.Port)
	bad(o.Steps >= 1 && o.Steps <= maxSteps, "steps: %d is out of range; give 1 to %d", o.Steps, maxSteps)
	bad(o.Slots >= 1 && o.Slots <= 4096, "slots: %d is out of range; give 1 to 4096", o.Slots)
	bad(o.ContextLength >= 16 && o.ContextLength <= 1<<20,
		"context-length: %d is out of range; give 16 to %d", o.ContextLength, 1<<20)
	bad(o.QueueLimit >= 0, "queue-limit: %d is negative; give 0 for no queue, or more", o.QueueLimit)
	bad(o.QueueStatus == 429 || o.QueueStatus == 503, "queue-status: %d is not allowed; give 429 or 503", o.QueueStatus)
	bad(o.BatchCost >= 0 && o.BatchCost <= 100, "batch-cost: %g is out of range; give 0 to 100", o.BatchCost)
	bad(o.LoadScale > 0 && !math.IsInf(o.LoadScale, 0), "load-scale: %g is not allowed; give a number above 0", o.LoadScale)
	bad(o.MemoryLimit >= 0, "memory-limit: %d is negative; give bytes, or 0 for no limit", o.MemoryLimit)
	bad(o.LoadFile == "" || o.LoadTime == 0, "load-time and load-file: both are given; give one of them")
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"step-time", o.StepTime}, {"token-time", o.TokenTime}, {"prefill-time", o.PrefillTime},
		{"predict-time", o.PredictTime}, {"load-time", o.LoadTime}, {"checkpoint-time", o.CheckpointTime},
		{"drain-timeout", o.DrainTimeout},
	} {
		bad(d.value >= 0 && d.value <= maxDuration, "%s: %v is out of range; give 0s to %v", d.name, d.value, maxDuration)
	}
	return errors.Join(errs...)
}

// maxDuration bounds every duration an option, a load file or a fault may name, so that sums stay far from overflow.
const maxDuration = 24 * time.Hour

// withDefaults fills what cannot be left empty.
func (o Options) withDefaults() Options {
	if len(o.Model) == 0 {
		o.Model = DefaultOptions().Model
	}
	if o.Device == "" {
		o.Device = DeviceCPU
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	return o
}

// modelName is the name a model answers to. It carries the device when that is not a real one.
func (o *Options) modelName(model string) string {
	if o.Device == DeviceEmulated {
		return "weir-" + model + "-emulated"
	}
	return "weir-" + model
}
