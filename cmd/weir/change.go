package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/weirlb/weir/admin"
)

// These commands change a running Weir.

type targetCmd struct {
	remote
	Pool    string `arg:"" help:"The pool."`
	Target  string `arg:"" help:"The target or instance, as weir status names it."`
	Weight  *int   `help:"Its share beside the other targets." placeholder:"N"`
	Slots   *int   `help:"Requests it may work on at a time; 0 sets no limit." placeholder:"N"`
	Drain   bool   `help:"Give it nothing new and let it finish."`
	Undrain bool   `help:"Give it requests, whatever its agent says."`
	Clear   bool   `help:"Take back what was set by hand: the config counts again."`
}

func (targetCmd) Help() string {
	return `What is set by hand holds until --clear, whatever the config says: over reloads and upgrades, not over a restart.

  weir target chat 10.0.0.7:9000 --weight 3
  weir target chat 10.0.0.7:9000 --slots 2 --undrain
  weir target chat 10.0.0.7:9000 --clear`
}

func (t *targetCmd) Run(o *output) error {
	if t.Drain && t.Undrain {
		return usageError{errors.New("weir target: say either --drain or --undrain")}
	}
	want := map[string]any{}
	var says []string
	if t.Weight != nil {
		want["weight"] = *t.Weight
		says = append(says, fmt.Sprintf("has weight %d", *t.Weight))
	}
	if t.Slots != nil {
		want["slots"] = *t.Slots
		says = append(says, fmt.Sprintf("has %d slots", *t.Slots))
	}
	if t.Drain || t.Undrain {
		want["drain"] = t.Drain
		says = append(says, map[bool]string{true: "drains: nothing new, what is in flight finishes", false: "takes requests"}[t.Drain])
	}
	if len(want) == 0 && !t.Clear {
		return usageError{errors.New("weir target: say what to change: --weight, --slots, --drain, --undrain or --clear")}
	}
	path := pathOf(t.Pool, "targets", t.Target)
	if t.Clear {
		if err := t.order("DELETE", path, nil); err != nil {
			return err
		}
		if len(want) == 0 {
			says = append(says, "is as it is configured again")
		}
	}
	if len(want) > 0 {
		if err := t.order("PATCH", path, want); err != nil {
			return err
		}
	}
	fmt.Fprintf(o.out, "%s %s\n", t.Target, strings.Join(says, ", "))
	return nil
}

type reloadCmd struct{ remote }

func (reloadCmd) Help() string {
	return `The file is read and checked as a whole; if anything in it is wrong, nothing changes and this says what. SIGHUP does the same, and
with watch: true so does saving the file.

  weir check -c weir.yaml && weir reload`
}

func (r *reloadCmd) Run(o *output) error {
	if err := r.order("POST", "/v1/reload", nil); err != nil {
		return err
	}
	fmt.Fprintln(o.out, "reloaded")
	return nil
}

type upgradeCmd struct {
	remote
	Binary string `help:"The program of the new process; without it, the file that the running one was started from. Naming one needs a token or a certificate." placeholder:"FILE"`
}

func (upgradeCmd) Help() string {
	return `The running process starts the new one, with the arguments it has itself, and hands its sockets over: no connection is
refused, and instances do not notice. What is in flight finishes in the old process, which ends then, or at the --deadline it was run with.
If the new process does not come up, the old one goes on as before, and this says why. SIGUSR2 does the same.

  install weir-new /usr/local/bin/weir && weir upgrade
  weir status                                # shows what the old process still has to finish`
}

func (u *upgradeCmd) Run(o *output) error {
	if u.Binary != "" && strings.ContainsRune(u.Binary, filepath.Separator) {
		var err error
		if u.Binary, err = filepath.Abs(u.Binary); err != nil {
			return fmt.Errorf("--binary: %w", err)
		}
	}
	b, err := u.do("POST", "/v1/upgrade", map[string]string{"binary": u.Binary})
	if err != nil {
		return err
	}
	defer b.Close()
	var done admin.Upgrade
	if err := json.NewDecoder(b).Decode(&done); err != nil {
		return fmt.Errorf("reading what became of it: %w", err)
	}
	fmt.Fprintf(o.out, "process %d, generation %d, has taken over\n%s\n", done.PID, done.Generation, remains(done.Leaving))
	return nil
}
