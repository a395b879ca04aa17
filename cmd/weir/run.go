package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/weirlb/weir/app"
	"github.com/weirlb/weir/config"
	"github.com/weirlb/weir/infer"
)

type runCmd struct {
	Config        string        `short:"c" help:"The config file." default:"weir.yaml" type:"path"`
	Deadline      time.Duration `help:"On SIGTERM, Ctrl-C or an upgrade: how long what is in flight may take before it is cut." default:"5m"`
	KeepInstances bool          `help:"On shutdown leave the instances running; the next start adopts them."`
}

func (runCmd) Help() string {
	return `Signals: SIGTERM or Ctrl-C finish what is in flight, then end the instances; a second one cuts at once. SIGHUP reads the
config again, without a drop; a file with mistakes changes nothing, and access_log begins a new file. SIGUSR2 has a new process take
over, as weir upgrade does.

After a crash or kill -9 the next start adopts the instances that still run. Sockets of systemd (socket activation) are used where
their address is one of the config's.

  weir run -c weir.yaml
  weir run -c weir.yaml --keep-instances     # stop without stopping models
  weir upgrade                               # replace the binary without stopping anything`
}

func (r *runCmd) Run(o *output) error {
	given, err := app.Inherited()
	if err != nil {
		return err
	}
	c, err := readConfig(r.Config)
	if err != nil {
		given.Fail(err)
		return err
	}
	log := logger(o.err, c.Log.Format, c.Log.Level)
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
	if os.Getenv("GOGC") == "" {
		// The heap of a proxy is small: a little more of it is cheaper than collecting it often.
		debug.SetGCPercent(400)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	a, err := app.Start(c, app.Options{Version: versionString(), Log: log, Config: r.Config, Inherited: given, Deadline: r.Deadline})
	if err != nil {
		return err
	}
	attend(a, signals, log)
	ctx, cancel := context.WithTimeout(context.Background(), r.Deadline)
	defer cancel()
	go func() {
		for s := range signals {
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				cancel()
			}
		}
	}()
	if err := a.Shutdown(ctx, r.KeepInstances); err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return cutError{err}
		}
		return err
	}
	log.Info("bye")
	return nil
}

// attend does what signals ask for, until one asks to end or another process has taken over.
func attend(a *app.App, signals <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-a.Replaced():
			return
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				if err := a.Reload(); err != nil {
					log.Error("nothing was changed: the config could not be loaded", "error", err)
				}
			case syscall.SIGUSR2:
				go a.Upgrade("") // which logs what comes of it
			default:
				return
			}
		}
	}
}

// readConfig reads a config; who has none yet is told how to begin.
func readConfig(path string) (*config.Config, error) {
	c, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(`%w
Write one; three lines are enough:

listen: [{address: ":8080", routes: [{pool: api}]}]
pools:
  api: {targets: ["127.0.0.1:9001", "127.0.0.1:9002"]}

or watch Weir at work without one: weir demo`, err)
	}
	return c, err
}

type checkCmd struct {
	Config string `short:"c" help:"The config file." default:"weir.yaml" type:"path"`
}

func (checkCmd) Help() string {
	return `For example:

  weir check -c weir.yaml && weir run -c weir.yaml`
}

func (r *checkCmd) Run(o *output) error {
	c, err := readConfig(r.Config)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(o.err, "warning:", w.Error())
	}
	if err := app.Check(c); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s is fine: %s, %s\n", r.Config, number(len(c.Listen), "listener"), number(len(c.Pools), "pool"))
	return nil
}

type schemaCmd struct{}

func (schemaCmd) Help() string {
	return `For editors that check a file against a schema:

  weir schema > weir.schema.json

An editor with the YAML language server then completes and checks as one types:

  # yaml-language-server: $schema=weir.schema.json`
}

func (schemaCmd) Run(o *output) error {
	b, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = o.out.Write(append(b, '\n'))
	return err
}

type inferCmd struct {
	infer.Options
}

func (inferCmd) Help() string {
	return `Requests: POST /generate, POST /v1/images/generations, POST /v1/chat/completions, POST /predict.
Checks: /health, /health/ready. Metrics: /metrics. Faults on demand: /fault.

  weir infer --port 9001 --model chat
  weir infer --port 9002 --model image --device emulated --load-time 20s`
}

func (r *inferCmd) Run(o *output) error {
	r.Logger = logger(o.err, "auto", "info")
	return infer.Run(context.Background(), r.Options)
}

// number counts things whose plural has an s.
func number(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
