package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/weirlb/weir/control"
	"github.com/weirlb/weir/scale"
)

// again makes the decision of a record again, by the policies that the config has now. That it comes out otherwise is an error, so that a
// test or a script notices.
func (r *decideCmd) again(o *output, options scale.Options) error {
	if len(r.Files) > 0 || r.State != "" {
		return usageError{errors.New("weir decide: --record holds its own observations and state; leave out the files and --state")}
	}
	record, err := readRecord(r.Record)
	if err != nil {
		return err
	}
	if was := record.Decision.Pool; was != options.Pool {
		return usageError{fmt.Errorf("weir decide: the record is of pool %s, and this is %s; name it with --pool", was, options.Pool)}
	}
	decider := scale.New(options)
	decider.Restore(record.State)
	var now scale.Decision
	for i := range record.Observations {
		now = decider.Decide(&record.Observations[i])
	}
	if err := r.print(o, now); err != nil {
		return err
	}
	if different := differences(&record.Decision, &now); len(different) > 0 {
		return fmt.Errorf("the decision comes out otherwise than the one that was made:\n  was %s%s", inWords(&record.Decision), different)
	}
	fmt.Fprintln(o.err, "the same as the decision that was made")
	return nil
}

func (r *decideCmd) print(o *output, d scale.Decision) error {
	if r.Text {
		_, err := io.WriteString(o.out, inWords(&d))
		return err
	}
	enc := json.NewEncoder(o.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(d)
}

func readRecord(name string) (*control.Record, error) {
	in := io.Reader(os.Stdin)
	if name == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	record := new(control.Record)
	err := json.NewDecoder(in).Decode(record)
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	if err == nil && len(record.Observations) == 0 {
		err = errors.New("there are no observations in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a record of weir explain --record: %w", name, err)
	}
	return record, nil
}

// differences says in what two decisions differ, a line each.
func differences(was, now *scale.Decision) string {
	var out strings.Builder
	differ := func(what string, a, b any) { out.WriteString(fmt.Sprintf("  %s was %v, and is %v\n", what, a, b)) }
	if was.Desired != now.Desired {
		differ("desired", was.Desired, now.Desired)
	}
	if was.Bound != now.Bound {
		differ("what bound it", orNothing(string(was.Bound)), orNothing(string(now.Bound)))
	}
	for _, p := range was.Proposals {
		i := slices.IndexFunc(now.Proposals, func(q scale.Proposal) bool { return q.Policy == p.Policy })
		switch {
		case i < 0:
			out.WriteString(fmt.Sprintf("  policy %s asked for %d, and is not there any more\n", p.Policy, p.Desired))
		case now.Proposals[i].Desired != p.Desired || now.Proposals[i].Abstain != p.Abstain:
			differ("what "+p.Policy+" asks for", fmt.Sprintf("%d (%s)", p.Desired, p.Why), fmt.Sprintf("%d (%s)", now.Proposals[i].Desired, now.Proposals[i].Why))
		}
	}
	for _, q := range now.Proposals {
		if !slices.ContainsFunc(was.Proposals, func(p scale.Proposal) bool { return p.Policy == q.Policy }) {
			out.WriteString(fmt.Sprintf("  policy %s was not there, and asks for %d\n", q.Policy, q.Desired))
		}
	}
	return out.String()
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
