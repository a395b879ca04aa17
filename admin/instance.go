package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
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
)

// decrementing are the verbs that may lower the desired capacity by one.
var decrementing = []InstanceVerb{InstanceStandby, InstanceDetach, InstanceTerminate}

func setInstance(o Operator, r *http.Request) error {
	verb := InstanceVerb(r.PathValue("verb"))
	if !slices.Contains(decrementing, verb) && !slices.Contains([]InstanceVerb{InstanceProtect, InstanceUnprotect, InstanceResume}, verb) {
		return invalid(fmt.Sprintf("%s is nothing to do with an instance; it is protect, unprotect, standby, resume, detach or terminate", quoted(string(verb))))
	}
	var in struct {
		Decrement bool `json:"decrement"`
	}
	if err := decode(r, &in); err != nil && !errors.Is(err, io.EOF) {
		return invalid(`the body is not {"decrement": true}, nor empty: ` + err.Error())
	}
	if in.Decrement && !slices.Contains(decrementing, verb) {
		return invalid(string(verb) + ` has no "decrement"; standby, detach and terminate have`)
	}
	return o.Instance(r.PathValue("pool"), r.PathValue("id"), verb, in.Decrement)
}
