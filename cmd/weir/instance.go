package main

import (
	"fmt"
	"slices"

	"github.com/weirlb/weir/admin"
)

type instanceCmd struct {
	remote
	Pool      string `arg:"" help:"The pool."`
	Instance  string `arg:"" help:"The instance, as weir status names it."`
	Verb      string `arg:"" help:"What to do: protect, unprotect, standby, resume, detach or terminate." enum:"protect,unprotect,standby,resume,detach,terminate"`
	Decrement bool   `help:"Lower the desired capacity by one, so that no other takes its place (standby, detach, terminate)."`
}

func (instanceCmd) Help() string {
	return `  protect, unprotect   whether scale-in may choose it; checks, a refresh and people end it all the same
  standby, resume      out of traffic and checks while it runs, to look at it or mend it; and back, one more desired
  detach               finishes what it has and goes on without Weir
  terminate            finishes what it has and ends

Without --decrement another instance is launched in its place. All of it survives a crash of Weir.

  weir instance chat chat-k2x9q standby
  weir instance chat chat-k2x9q resume
  weir instance chat chat-k2x9q terminate --decrement`
}

func (c *instanceCmd) Run(o *output) error {
	var body any
	if c.Decrement {
		if !slices.Contains([]string{"standby", "detach", "terminate"}, c.Verb) {
			return usageError{fmt.Errorf("weir instance: %s has no --decrement; standby, detach and terminate have", c.Verb)}
		}
		body = map[string]bool{"decrement": true}
	}
	if err := c.order("POST", pathOf(c.Pool, "instances", c.Instance, c.Verb), body); err != nil {
		return err
	}
	fmt.Fprintln(o.out, c.Instance, map[admin.InstanceVerb]string{
		admin.InstanceProtect:   "is protected from scale-in",
		admin.InstanceUnprotect: "may be chosen by scale-in",
		admin.InstanceStandby:   "finishes what it has, then waits in standby",
		admin.InstanceResume:    "is checked and then serves again",
		admin.InstanceDetach:    "finishes what it has, then goes on without Weir",
		admin.InstanceTerminate: "finishes what it has, then ends",
	}[admin.InstanceVerb(c.Verb)])
	return nil
}
