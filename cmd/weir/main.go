// Command weir balances the requests of AI applications over a fleet that it grows and shrinks.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/alecthomas/kong"
	"golang.org/x/term"
)

// version is set by the linker for a release.
var version string

// Exit codes, as `weir --help` documents them.
const (
	exitOK     = 0
	exitFailed = 1 // the config is wrong, the command failed
	exitUsage  = 2 // the command line is wrong
	exitCut    = 3 // a shutdown's deadline passed and what was in flight was cut; requests were lost in a demo or load
)

const description = `Weir balances every request onto the best target, holds what none can take yet, and grows and shrinks the
fleet before users notice.

  weir demo                      watch it work: a fleet, a rush and a 100x spike in about three minutes
  weir run -c weir.yaml          run it
  weir check -c weir.yaml        find every mistake in a config
  weir status                    what a running Weir does now

Exit codes: 0 done, 1 the config is wrong or the command failed, 2 the command line is wrong, 3 requests were cut or lost.`

// cli is the command line.
type cli struct {
	Run      runCmd      `cmd:"" help:"Run Weir with a config."`
	Check    checkCmd    `cmd:"" help:"Check a config: every mistake, each with its line and a remedy."`
	Demo     demoCmd     `cmd:"" help:"Watch Weir balance, hold and scale on this machine, nothing to write."`
	Load     loadCmd     `cmd:"" help:"Send an open-loop load and report what users would have seen."`
	Trace    traceCmd    `cmd:"" help:"Say what a recorded trace holds: its format, rates, times and what had to be assumed."`
	Infer    inferCmd    `cmd:"" help:"Run a small inference server: images, chat and predictions."`
	Replay   replayCmd   `cmd:"" help:"Judge a config by recorded traffic: what users would have waited, and what it would have cost."`
	Plan     planCmd     `cmd:"" help:"Find a config for a number of users, a budget and a spike, with reasons."`
	Status   statusCmd   `cmd:"" help:"Show pools, targets, instances and queues of a running Weir."`
	Logs     logsCmd     `cmd:"" help:"Show what an instance wrote."`
	Drain    drainCmd    `cmd:"" help:"Give a target nothing new and let it finish."`
	Scale    scaleCmd    `cmd:"" help:"Set a pool's capacity by hand, or give it back to its policies."`
	Refresh  refreshCmd  `cmd:"" help:"Replace a pool's instances by ones of the present template, a few at a time."`
	Instance instanceCmd `cmd:"" help:"Protect one instance, put it in standby, detach or end it."`
	Explain  explainCmd  `cmd:"" help:"Say in words why a pool has the capacity it has."`
	Cost     costCmd     `cmd:"" help:"Show what the instances of a running Weir cost: now, today, this month, and against on demand."`
	Forecast forecastCmd `cmd:"" help:"Show what load a pool expects, and how good its forecasts were."`
	Market   marketCmd   `cmd:"" help:"Show and play the market of the process provider: capacity, prices, interruptions."`
	Alarms   alarmsCmd   `cmd:"" help:"Show the alarms of a running Weir: states, reasons, history and actions."`
	Decide   decideCmd   `cmd:"" help:"Print what a pool's policies decide about observations, one per line: unit tests for policies."`
	Query    queryCmd    `cmd:"" help:"Ask in PromQL what Weir has measured."`
	Target   targetCmd   `cmd:"" help:"Set a target's weight or slots by hand, or drain it, while Weir runs."`
	Reload   reloadCmd   `cmd:"" help:"Have a running Weir read its config again, without a drop."`
	Upgrade  upgradeCmd  `cmd:"" help:"Have a new process of Weir take over from a running one, without a drop."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON Schema of the config, for editors."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" hidden:"" help:"Print the version."`
}

// usageError is a mistake on the command line that kong cannot see.
type usageError struct{ error }

// cutError is an end that lost something.
type cutError struct{ error }

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process, so that tests can call it.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	code := -1
	k, err := kong.New(&c,
		kong.Name("weir"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(stdout, stderr), kong.Exit(func(n int) { code = n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Bind(&output{stdout, stderr}), kong.Vars{"baselines": baselineNames(), "version": versionString()},
	)
	if err != nil {
		fmt.Fprintln(stderr, "weir:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := k.Parse(args)
	if code >= 0 { // --help
		return code
	}
	if err != nil {
		name := commandOf(err)
		fmt.Fprintf(stderr, "%s: %v\nTry: %s --help\n", name, err, name)
		return exitUsage
	}
	if err = ctx.Run(); err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	var usage usageError
	var cut cutError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &cut):
		return exitCut
	}
	return exitFailed
}

// commandOf is the command whose line is wrong, as its user would type it.
func commandOf(err error) string {
	if p, ok := errors.AsType[*kong.ParseError](err); ok && p.Context != nil {
		if n := p.Context.Selected(); n != nil {
			return "weir " + n.Path()
		}
	}
	return "weir"
}

// output is where a command writes: results to out, all else to err.
type output struct{ out, err io.Writer }

// logger writes text to a terminal and JSON otherwise, unless the format says which.
func logger(w io.Writer, format, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: logged}
	if format == "json" || format == "auto" && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// logged writes durations as people do, 1.5s, where JSON would have their nanoseconds, and leaves out a reason that there is not.
func logged(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Value.Kind() == slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().String())
	case a.Key == "why" && a.Value.Kind() == slog.KindString && a.Value.String() == "":
		return slog.Attr{}
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type versionCmd struct{}

func (versionCmd) Run(o *output) error {
	fmt.Fprintln(o.out, versionString())
	return nil
}

func versionString() string {
	if version != "" {
		return version
	}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := b.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 7 {
			return "devel-" + s.Value[:7]
		}
	}
	return "devel"
}
