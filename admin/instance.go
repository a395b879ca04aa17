package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// InstanceVerb is what a person may do with one instance.
type InstanceVerb string

// The verbs, with the meaning that EC2 Auto Scaling gives them.
const (
	InstanceProtect   InstanceVerb = "protect"   // scale-in does not choose it
	InstanceUnprotect InstanceVerb = "unprotect" // scale-in may
	InstanceStandby   InstanceVerb = "standby"   // drains, runs on without traffic and checks, and does not count
	InstanceResume    InstanceVerb = "resume"    // from standby; raises the desired capacity by one
	InstanceDetach    InstanceVerb = "detach"    // drains, and runs on without Weir
	InstanceTerminate InstanceVerb = "terminate" // drains and ends
	InstanceComplete  InstanceVerb = "complete"  // ends the waiting for a hook
	InstanceHeartbeat InstanceVerb = "heartbeat" // gives a hook its timeout once more
)

// InstanceOrder is what to do with one instance.
type InstanceOrder struct {
	Verb      InstanceVerb `json:"-"`
	Decrement bool         `json:"decrement,omitempty"` // of standby, detach and terminate: lowers the desired capacity by one, so that it is not replaced
	Hook      string       `json:"hook,omitempty"`      // of complete and heartbeat: for which hook; "" is the only one
	Token     string       `json:"token,omitempty"`     // of complete and heartbeat: of that wait alone; "" is of any
	Result    string       `json:"result,omitempty"`    // of complete: continue or abandon
}

// HookWait is a lifecycle hook that an instance waits for.
type HookWait struct {
	Hook     string    `json:"hook"`
	Token    string    `json:"token"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`              // without a heartbeat
	Attempt  int       `json:"attempt,omitempty"`  // how often it was begun; absent when somebody is to complete it by hand
	Accepted bool      `json:"accepted,omitempty"` // a webhook took it over, and will complete it
	Result   string    `json:"result,omitempty"`   // once it has one, while others are waited for
}

// Instances is the answer to GET /v1/pools/{pool}/instances.
type Instances struct {
	Instances []Instance `json:"instances"`
}

func (s *Server) getInstances(w http.ResponseWriter, r *http.Request) {
	name, id := r.PathValue("pool"), r.PathValue("id")
	pools := s.o.Source.Status().Pools
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		refuse(w, http.StatusNotFound, "not_found", "there is no pool "+quoted(name))
		return
	}
	if id == "" {
		answer(w, Instances{pools[i].Instances})
		return
	}
	for _, one := range pools[i].Instances {
		if one.ID == id {
			answer(w, one)
			return
		}
	}
	refuse(w, http.StatusNotFound, "not_found", fmt.Sprintf("pool %s has no instance %s", quoted(name), quoted(id)))
}

// explainSick says of the instances of a pool that fail their checks now what is or is not done about them, and by which grace; "" when there are none.
func (s *Server) explainSick(pool string) string {
	var b strings.Builder
	for _, p := range s.o.Source.Status().Pools {
		if p.Name != pool || p.Scale == nil {
			continue
		}
		for _, i := range p.Instances {
			if i.State != "unhealthy" {
				continue
			}
			if b.Len() == 0 {
				grace := time.Duration(p.Scale.Grace.Seconds * float64(time.Second))
				fmt.Fprintf(&b, "\nInstances that fail their checks, with a grace of %v (%s):\n", grace, p.Scale.Grace.Why)
			}
			fmt.Fprintf(&b, "  %s  %s\n", i.ID, i.Why)
		}
	}
	return b.String()
}

func setInstance(o Operator, r *http.Request) error {
	in := InstanceOrder{Verb: InstanceVerb(r.PathValue("verb"))}
	var decrements, hooks bool
	switch in.Verb {
	case InstanceStandby, InstanceDetach, InstanceTerminate:
		decrements = true
	case InstanceComplete, InstanceHeartbeat:
		hooks = true
	case InstanceProtect, InstanceUnprotect, InstanceResume:
	default:
		return invalid(fmt.Sprintf("%s is nothing to do with an instance; it is protect, unprotect, standby, resume, detach, terminate, complete or heartbeat", quoted(string(in.Verb))))
	}
	if err := decode(r, &in); err != nil && !errors.Is(err, io.EOF) {
		return invalid(`the body is not such as {"decrement": true}, nor empty: ` + err.Error())
	}
	switch {
	case in.Decrement && !decrements:
		return invalid(string(in.Verb) + ` has no "decrement"; standby, detach and terminate have`)
	case (in.Hook != "" || in.Token != "") && !hooks:
		return invalid(string(in.Verb) + ` is not about a hook; complete and heartbeat are`)
	case in.Result != "" && in.Verb != InstanceComplete:
		return invalid(string(in.Verb) + ` has no "result"; complete has`)
	case in.Verb == InstanceComplete && in.Result != "continue" && in.Result != "abandon":
		return invalid(`"result" is needed, and is "continue" or "abandon"`)
	}
	return o.Instance(r.PathValue("pool"), r.PathValue("id"), in)
}
