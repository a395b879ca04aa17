package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/weirlb/weir/demo"
)

type demoCmd struct {
	For      time.Duration `help:"How long the load lasts." default:"3m"`
	Speed    float64       `help:"How much faster everything goes: device times, boots and arrivals." default:"1"`
	Headless bool          `help:"Do not open the dashboard in a browser."`
	Stay     bool          `help:"Keep the dashboard up after the summary, until Ctrl-C."`
	HTML     string        `help:"Write a report with plots to this file." type:"path" placeholder:"FILE"`
	Verbose  bool          `short:"v" help:"Show Weir's own log too."`
}

func (demoCmd) Help() string {
	return `Starts Weir with three pools of emulated instances on this machine, then a quiet phase, a rush and a 100x spike. No
request may be lost. Everything it started is ended when it ends.

  weir demo
  weir demo --headless --for 1m --html demo.html`
}

func (d *demoCmd) Run(o *output) error {
	if d.For < 10*time.Second || d.Speed < 0.1 || d.Speed > 10 {
		return usageError{errors.New("weir demo: --for is at least 10s, --speed from 0.1 to 10")}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this binary, which is also the inference server: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var log io.Writer
	if d.Verbose {
		log = o.err
	}
	opts := demo.Options{
		For: d.For, Speed: d.Speed, Out: o.out, Log: log, Terminal: isTerminal(o.out), Exe: exe,
		Version: versionString(), Stay: d.Stay, HTML: d.HTML,
	}
	if !d.Headless && isTerminal(o.out) {
		opts.Open = browse
	}
	err = demo.Run(ctx, opts)
	if errors.Is(err, demo.ErrLost) {
		return cutError{err}
	}
	return err
}

// browse opens a page where there is a desktop to show it.
func browse(url string) {
	name := "xdg-open"
	switch {
	case runtime.GOOS == "darwin":
		name = "open"
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return
	}
	if cmd := exec.Command(name, url); cmd.Start() == nil {
		go cmd.Wait()
	}
}
