// Package demo shows Weir at work on one machine: a fleet of emulated instances, a quiet phase, a rush and a 100x spike,
// told in plain words while they happen and summed up at the end.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/load"
)

// Options say how the demo runs.
type Options struct {
	For      time.Duration // of the whole load; the phases share it
	Speed    float64       // how much faster everything goes, device times and boots included
	Out      io.Writer     // the story and the summary
	Log      io.Writer     // what Weir itself logs; nil drops it
	Terminal bool          // Out is one: progress is a line that renews itself
	Exe      string        // the weir binary, which is also the inference server
	Version  string
	Stay     bool             // keep the dashboard up after the summary, until the context ends
	HTML     string           // a report is written to this file; "" writes none
	Open     func(url string) // shows the dashboard; nil leaves that to the reader
}

// ErrLost says that requests were lost, which must not happen.
var ErrLost = errors.New("requests were lost")

//go:embed weir.yaml.tmpl
var configTemplate string

// Run runs the demo until its load has ended and been answered, or ctx ends.
func Run(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg, err := configOf(o, dir)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if o.Log != nil {
		log = slog.New(slog.NewTextHandler(o.Log, nil))
	}
	a, err := app.Start(cfg, app.Options{Version: o.Version, Log: log})
	if err != nil {
		return err
	}
	listeners, admin := a.Addresses()
	n := newNarrator(o, a)
	n.opening("http://" + admin + "/")
	if o.Open != nil {
		o.Open("http://" + admin + "/")
	}
	result, err := n.watch(ctx, script(o, "http://"+listeners["127.0.0.1:0"]))
	interrupted := ctx.Err() != nil
	if err == nil && !interrupted {
		n.summary(result)
		if o.HTML != "" {
			err = report(result, o.HTML)
		}
		if o.Stay {
			fmt.Fprintf(o.Out, "\nThe dashboard stays at http://%s/ until Ctrl-C.\n", admin)
			<-ctx.Done()
		}
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if interrupted {
		fmt.Fprintln(o.Out, "\nStopping: letting what is in flight finish, then ending the instances.")
	}
	if e := a.Shutdown(stop, false); err == nil {
		err = e
	}
	if err == nil && !interrupted && result.Total.Failed+result.Total.Dropped > 0 {
		return fmt.Errorf("%w: %d failed, %d were not sent", ErrLost, result.Total.Failed, result.Total.Dropped)
	}
	return err
}

// configOf fills the template in and reads it as any other config.
func configOf(o Options, dir string) (*config.Config, error) {
	t := template.Must(template.New("weir.yaml").Parse(configTemplate))
	at := func(d time.Duration) string { return max(time.Duration(float64(d)/o.Speed), time.Millisecond).String() }
	admin := "127.0.0.1:9900"
	if ln, err := net.Listen("tcp", admin); err != nil {
		admin = "127.0.0.1:0" // another Weir has it
	} else {
		ln.Close()
	}
	var b bytes.Buffer
	err := t.Execute(&b, map[string]string{
		"Exe": o.Exe, "State": filepath.Join(dir, "state"), "Admin": admin,
		"TokenTime": at(20 * time.Millisecond), "StepTime": at(50 * time.Millisecond), "PredictTime": at(25 * time.Millisecond),
		"ChatLoad": at(5 * time.Second), "ImageLoad": at(8 * time.Second), "PredictLoad": at(3 * time.Second),
		"Window": at(15 * time.Second), "Promise": at(2 * time.Second),
	})
	if err != nil {
		return nil, err
	}
	return config.Parse("demo.yaml", b.Bytes(), os.LookupEnv)
}

// phase is one part of the demo's load.
type phase struct {
	name string
	say  string
	part float64 // of the whole time
	chat float64 // requests a second, at speed 1
	imgs float64
	pred float64
}

// phases are the story: what comes, and how much of it.
var phases = []phase{
	{"quiet", "A quiet phase: a request now and then. The image pool is at zero and starts with the first request, which is held.", .20, .5, .12, 1},
	{"rush", "The rush: everybody comes to work. Four times the chats, ten times the images, ten times the predictions.", .28, 2, 1.2, 10},
	{"spike", "The spike: somebody posted a link. 100 times the quiet rate of predictions, at once.", .12, 2, 1.2, 100},
	{"calm", "The calm after it: the queue drains, then the fleet shrinks again.", .40, .5, .1, 1},
}

// script is the load: three streams of requests, each by its own Poisson process.
func script(o Options, url string) []load.Stream {
	rates := func(of func(phase) float64) []load.Phase {
		var out []load.Phase
		for _, p := range phases {
			out = append(out, load.Constant(of(p)*o.Speed, time.Duration(p.part*float64(o.For))))
		}
		return out
	}
	stream := func(seed uint64, k load.Kind, of func(phase) float64) load.Stream {
		k.Timeout = 3 * time.Minute
		k.Headers = map[string]string{"Content-Type": "application/json"}
		ps := rates(of)
		return load.Stream{Kind: k, Arrivals: load.Phases(seed, true, ps...), Length: load.Length(ps...)}
	}
	body := func(s string) func(int, load.Arrival) []byte {
		return func(int, load.Arrival) []byte { return []byte(s) }
	}
	return []load.Stream{
		stream(1, load.Kind{Name: "chat", Method: "POST", URL: url + "/v1/chat/completions", Stream: true,
			Body: body(`{"model":"chat","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"What is a weir?"}]}`)},
			func(p phase) float64 { return p.chat }),
		stream(2, load.Kind{Name: "image", Method: "POST", URL: url + "/v1/images/generations",
			Body: body(`{"prompt":"a weir in the morning","steps":20,"size":"64x64"}`)},
			func(p phase) float64 { return p.imgs }),
		stream(3, load.Kind{Name: "predict", Method: "GET", URL: url + "/predict"},
			func(p phase) float64 { return p.pred }),
	}
}

func report(r *load.Result, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteHTML(f), f.Close())
}
