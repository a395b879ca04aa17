package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Word is what an agent on a target says in one answer. The words are those of HAProxy's agent-check.
type Word struct {
	Percent *int  // of its configured weight; 0 drains it
	Slots   *int  // how many requests it takes at most; 0 as many as are configured
	Drain   *bool // "drain", and "maint", give it nothing new; "ready" takes that back
	Down    *bool // "down", "fail" and "stopped" take it out of rotation; "up" takes that back
	Reason  string
}

// ParseWord reads the first line that an agent sends: words between blanks, tabs or commas, and a reason for people after a "#".
//
//	75%  maxconn:30  ready  up  drain  maint  down  fail  stopped  # anything
//
// Percentages go from 0 to 256 hundredths, as weights do in HAProxy. What is not such a word is an error and nothing of the
// line is to be believed.
func ParseWord(line string) (Word, error) {
	line, _, _ = strings.Cut(line, "\n")
	line, reason, _ := strings.Cut(strings.TrimRight(line, "\r"), "#")
	w := Word{Reason: strings.TrimSpace(reason)}
	yes, no := true, false
	for f := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		switch word := strings.ToLower(f); word {
		case "ready":
			w.Drain = &no
		case "drain", "maint":
			w.Drain = &yes
		case "up":
			w.Down = &no
		case "down", "fail", "failed", "stopped":
			w.Down = &yes
			if w.Reason == "" {
				w.Reason = word
			}
		default:
			if err := w.number(word); err != nil {
				return Word{}, err
			}
		}
	}
	if w.Percent != nil && *w.Percent == 0 {
		w.Drain = &yes
	}
	return w, nil
}

func (w *Word) number(word string) error {
	if digits, ok := strings.CutSuffix(word, "%"); ok {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n > 25600 {
			return fmt.Errorf("the agent's weight %q is not a percentage from 0%% to 25600%%", word)
		}
		w.Percent = new(int(n))
		return nil
	}
	if digits, ok := strings.CutPrefix(word, "maxconn:"); ok {
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			return fmt.Errorf("the agent's %q needs a number of requests after the colon, such as maxconn:30", word)
		}
		w.Slots = new(int(n))
		return nil
	}
	return fmt.Errorf("the agent says %q, which is none of: a percentage, maxconn:N, ready, up, drain, maint, down, fail, stopped", word)
}

// Report is what an agent's words add up to. The zero value is a target without an agent.
type Report struct {
	Weighs  bool // Percent counts
	Percent int  // of the configured weight
	Slots   int  // 0: as many as are configured
	Drain   bool
	Down    bool
	Reason  string
}

// Next is the report after one more word. What it does not mention stays.
func (r Report) Next(w Word) Report {
	if w.Percent != nil {
		r.Drain = r.Drain && (r.Percent != 0 || !r.Weighs) // a weight above 0 ends what weight 0 began
		r.Weighs, r.Percent = true, *w.Percent
	}
	if w.Slots != nil {
		r.Slots = *w.Slots
	}
	if w.Drain != nil {
		r.Drain = *w.Drain
	}
	if w.Down != nil {
		r.Down = *w.Down
	}
	r.Reason = w.Reason
	return r
}
