package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/load"
)

// What is emulated: a GPU that serves a model of some seven billion parameters, four chats at a time. The times are those of the
// real world, before the speed of the replay.
const (
	tokenTime   = 6 * time.Millisecond   // of a step that writes one token
	batchCost   = 0.1                    // what each further chat in the batch adds to a step, as a share
	prefillTime = 100 * time.Microsecond // to read one token of a prompt
	loadTime    = 24 * time.Second       // of the model, where no recorded load times are given

	concurrency = 4
	maxFleet    = 6

	promise  = 2 * time.Second // wait_p95
	window   = time.Minute     // scale_in_window and zero_after
	patience = 10 * time.Minute

	coldStart = 2 * time.Minute // at the beginning of the trace, reported apart: there the fleet is built
)

// plan is how a part of the trace is replayed.
//
// Time runs speed times faster and a request has scale times its tokens, so that a small machine can host the fleet. For the fleet
// to need as many instances as it would in the real world, each token has to take its real time divided by speed x scale: in a
// second of the replay, speed times the requests come, each with scale times the tokens, so speed x scale times the tokens.
//
// An instance with n chats in its batch writes n tokens in a step of tokenTime x (1 + batchCost x (n-1)). With four that is
// 6 ms x 1.3 / 4 = 1.95 ms of the device for a token of an answer, beside 0.1 ms for one of a prompt. In the trace's first ten
// minutes a request has 261 and 1,148 of them on average and 4.8 come each second: 4.8 x (261 x 1.95 ms + 1,148 x 0.1 ms) = 3.0
// instances that are always busy. From one quarter of a minute to the next that swings between 0.4 (the first) and 4.3. More
// are needed than that, so that a request that comes at random finds a free slot soon enough: how many is the queue policy's to say.
type plan struct {
	trace    string // file
	loads    string // file of recorded load times; "" takes loadTime
	from     time.Duration
	lasting  time.Duration // of the trace, before speed
	speed    float64
	scale    float64
	weir     string // the binary
	arrivals []load.Arrival
}

func (p *plan) check() error {
	switch {
	case !(p.speed >= 0.1 && p.speed <= 100):
		return fmt.Errorf("--speed %g: give a number from 0.1 to 100", p.speed)
	case !(p.scale >= 0.001 && p.scale <= 10):
		return fmt.Errorf("--scale %g: give a number from 0.001 to 10", p.scale)
	case p.lasting <= 0 || p.from < 0:
		return errors.New("--from and --for: give the part of the trace to replay, as in --from 20m --for 10m")
	}
	return nil
}

// replayed turns a time of the real world into one of the replay.
func (p *plan) replayed(d time.Duration) time.Duration { return time.Duration(float64(d) / p.speed) }

// scaled is how many tokens stand for n of the trace: at least one, where there were any.
func (p *plan) scaled(n int32) int {
	if n == 0 {
		return 0
	}
	return max(1, int(math.Round(float64(n)*p.scale)))
}

// device turns a device's time for one token into that of the replay.
func (p *plan) device(d time.Duration) time.Duration {
	return time.Duration(float64(d) / (p.speed * p.scale))
}

// deviceTime is how long a request occupies a device whose batch is full, in the replay.
func (p *plan) deviceTime(a load.Arrival) time.Duration {
	step := float64(p.device(tokenTime)) * (1 + batchCost*(concurrency-1))
	return time.Duration(float64(a.Output)*step/concurrency + float64(a.Input)*float64(p.device(prefillTime)))
}

// demand is how many busy instances the traffic amounts to in each of n equal parts of total. A request's whole work counts in
// the part in which it comes.
func (p *plan) demand(n int, total time.Duration) []float64 {
	out := make([]float64, n)
	part := total / time.Duration(n)
	if part <= 0 {
		return out
	}
	for _, a := range p.arrivals {
		if i := int(a.At / part); i < n {
			out[i] += float64(p.deviceTime(a)) / float64(part)
		}
	}
	return out
}

// tokens are those of all prompts and of all answers.
func (p *plan) tokens() (in, out int64) {
	for _, a := range p.arrivals {
		in += int64(a.Input)
		out += int64(a.Output)
	}
	return in, out
}

// length is the time to the last arrival, in the replay.
func (p *plan) length() time.Duration {
	if len(p.arrivals) == 0 {
		return 0
	}
	return p.arrivals[len(p.arrivals)-1].At
}

//go:embed weir.yaml.tmpl
var configText string

// config writes the config of the Weir that is measured, with its admin API on the given address and its state under dir. Weir's
// own parser has passed it.
func (p *plan) config(admin, dir string) ([]byte, error) {
	load := fmt.Sprintf(`--load-time, "%s"`, p.replayed(loadTime))
	if p.loads != "" {
		load = fmt.Sprintf(`--load-file, %q, --load-scale, "%s"`, p.loads, strconv.FormatFloat(1/p.speed, 'g', 6, 64))
	}
	var b bytes.Buffer
	err := template.Must(template.New("weir.yaml").Parse(configText)).Execute(&b, map[string]any{
		"Admin": admin, "State": filepath.Join(dir, "state"), "Exe": p.weir, "Load": load,
		"Concurrency": concurrency, "Max": maxFleet, "BatchCost": batchCost,
		"TokenTime": p.device(tokenTime), "PrefillTime": p.device(prefillTime),
		"Window": whole(p.replayed(window)), "Promise": whole(p.replayed(promise)), "Patience": patience,
	})
	if err != nil {
		return nil, err
	}
	if _, err := config.Parse("weir.yaml", b.Bytes(), func(string) (string, bool) { return "", false }); err != nil {
		return nil, fmt.Errorf("the config made for Weir is not one: %w", err)
	}
	return b.Bytes(), nil
}

// whole rounds to milliseconds, and never to nothing.
func whole(d time.Duration) time.Duration { return max(d.Round(time.Millisecond), time.Millisecond) }

// prose is what prompts are cut from; to the chat model of weir infer one character is one token.
const prose = "A weir is a low wall across a river. It holds the water back until there is room for it below. "

// body is the request that stands for one of the trace: a prompt of so many tokens, and an answer of exactly so many.
func body(i int, a load.Arrival) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"model":"chat","stream":true,"ignore_eos":true,"seed":%d,"max_tokens":%d,"messages":[{"role":"user","content":"`, i+1, max(a.Output, 1))
	for n := max(a.Input, 1); n > 0; n -= len(prose) {
		b.WriteString(prose[:min(n, len(prose))])
	}
	b.WriteString(`"}]}`)
	return b.Bytes()
}

// columns is the number of columns in which a run is drawn: at most most, and none shorter than a second.
func columns(total time.Duration, most int) int {
	return min(most, max(1, int(math.Ceil(total.Seconds()))))
}
