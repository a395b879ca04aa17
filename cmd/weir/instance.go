package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/weirlb/weir/admin"
)

type instanceCmd struct {
	remote
	Pool      string `arg:"" help:"The pool."`
	Instance  string `arg:"" optional:"" help:"The instance, as weir status names it. Without it, all are listed."`
	Verb      string `arg:"" optional:"" help:"What to do: protect, unprotect, standby, resume, detach, terminate, complete or heartbeat. Without it, the instance is shown."`
	Decrement bool   `help:"Lower the desired capacity by one, so that no other takes its place (standby, detach, terminate)."`
	Hook      string `help:"For which hook, when the instance waits for more than one (complete, heartbeat)."`
	WaitToken string `help:"Only when it is the hook's token, WEIR_TOKEN in its environment (complete, heartbeat)." placeholder:"TOKEN"`
	Result    string `help:"How the hook ended: continue or abandon (complete)." placeholder:"continue"`
	JSON      bool   `help:"Print as JSON."`
}

func (instanceCmd) Help() string {
	return `What can be done to an instance:

  protect, unprotect   whether scale-in may choose it; checks, a refresh and people end it all the same
  standby, resume      out of traffic and checks while it runs, to look at it or mend it; and back, one more desired
  detach               finishes what it has and goes on without Weir
  terminate            finishes what it has and ends
  complete             a lifecycle hook is done, and the instance goes on; --result abandon: it is not to
  heartbeat            a lifecycle hook takes longer: its timeout begins again

Without --decrement another instance is launched in its place. All of it survives a crash of Weir.

  weir instance chat
  weir instance chat chat-k2x9q standby
  weir instance chat chat-k2x9q terminate --decrement
  weir instance chat chat-k2x9q complete --hook register`
}

// verbs are what may be done, with what is said then.
var verbs = []struct {
	verb admin.InstanceVerb
	done string
}{
	{admin.InstanceProtect, "is protected from scale-in"},
	{admin.InstanceUnprotect, "may be chosen by scale-in"},
	{admin.InstanceStandby, "finishes what it has, then waits in standby"},
	{admin.InstanceResume, "is checked and then serves again"},
	{admin.InstanceDetach, "finishes what it has, then goes on without Weir"},
	{admin.InstanceTerminate, "finishes what it has, then ends"},
	{admin.InstanceComplete, "does not wait for that hook any more"},
	{admin.InstanceHeartbeat, "waits for that hook for its timeout once more"},
}

func (c *instanceCmd) Run(o *output) error {
	if c.Verb == "" {
		return c.show(o)
	}
	i := 0
	var names []string
	for i < len(verbs) && string(verbs[i].verb) != c.Verb {
		names = append(names, string(verbs[i].verb))
		i++
	}
	in := admin.InstanceOrder{Decrement: c.Decrement, Hook: c.Hook, Token: c.WaitToken, Result: c.Result}
	wrong := func(format string, args ...any) error {
		return usageError{fmt.Errorf("weir instance: "+format, args...)}
	}
	hooks := c.Verb == "complete" || c.Verb == "heartbeat"
	switch {
	case i == len(verbs):
		return wrong("%q is nothing to do with an instance; it is %s", c.Verb, strings.Join(names, ", "))
	case c.Decrement && !slices.Contains([]string{"standby", "detach", "terminate"}, c.Verb):
		return wrong("%s has no --decrement; standby, detach and terminate have", c.Verb)
	case (c.Hook != "" || c.WaitToken != "") && !hooks:
		return wrong("%s has no --hook and no --wait-token; complete and heartbeat have", c.Verb)
	case c.Result != "" && c.Verb != "complete":
		return wrong("%s has no --result; complete has", c.Verb)
	case c.Result != "" && c.Result != "continue" && c.Result != "abandon":
		return wrong("--result %s is neither continue nor abandon", c.Result)
	case c.Verb == "complete" && c.Result == "":
		in.Result = "continue"
	}
	if err := c.order("POST", pathOf(c.Pool, "instances", c.Instance, c.Verb), in); err != nil {
		return err
	}
	fmt.Fprintln(o.out, c.Instance, verbs[i].done)
	return nil
}

// show prints one instance, or all of the pool.
func (c *instanceCmd) show(o *output) error {
	parts := []string{c.Pool, "instances"}
	if c.Instance != "" {
		parts = append(parts, c.Instance)
	}
	body, err := c.do("GET", pathOf(parts...), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if c.JSON {
		_, err = io.Copy(o.out, body)
		return err
	}
	var all admin.Instances
	if c.Instance == "" {
		err = json.NewDecoder(body).Decode(&all)
	} else {
		all.Instances = make([]admin.Instance, 1)
		err = json.NewDecoder(body).Decode(&all.Instances[0])
	}
	if err != nil {
		return fmt.Errorf("the answer is not what weir instance reads: %w", err)
	}
	printInstances(o.out, all.Instances, time.Now())
	return nil
}

func printInstances(w io.Writer, instances []admin.Instance, now time.Time) {
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INSTANCE\tSTATE\tFOR\tAGE\tIN FLIGHT\tVERSION\tPLACE\tSCALE-IN\tWHY")
	for _, i := range instances {
		scaleIn := "may choose it"
		if i.Protected {
			scaleIn = "protected"
		}
		place := strings.Trim(strings.Join([]string{i.Type, i.Market, i.Zone}, "/"), "/")
		fmt.Fprintf(t, "%s\t%s\t%v\t%v\t%d\t%d\t%s\t%s\t%s\n", i.ID, i.State, now.Sub(i.Since).Round(time.Second), now.Sub(i.Launched).Round(time.Second), i.InFlight, i.Version, place, scaleIn, i.Why)
	}
	t.Flush()
	for _, i := range instances {
		for _, h := range i.Hooks {
			fmt.Fprintf(w, "%s %s\n", i.ID, waitsFor(h))
		}
	}
}

// waitsFor says what a wait for a hook is about.
func waitsFor(h admin.HookWait) string {
	until := h.Until.Local().Format(time.TimeOnly)
	switch {
	case h.Result != "":
		return fmt.Sprintf("has %s of hook %s and waits for others", h.Result, h.Hook)
	case h.Accepted:
		return fmt.Sprintf("waits for hook %s until %s; its webhook has accepted it and is to complete it", h.Hook, until)
	case h.Attempt == 0:
		return fmt.Sprintf("waits for hook %s until %s; complete it by hand", h.Hook, until)
	}
	return fmt.Sprintf("waits for hook %s until %s, attempt %d", h.Hook, until, h.Attempt)
}
