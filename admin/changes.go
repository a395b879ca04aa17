package admin

// changes are the events of targets whose state differs from one look to the next: checks and answers both move it, and here
// it shows whichever it was. Draining is left out, for who began it tells of it.
func changes(before, after Status) []Event {
	type key struct{ pool, target string }
	was := map[key]string{}
	for _, p := range before.Pools {
		for _, t := range p.Targets {
			was[key{p.Name, t.ID}] = t.State
		}
	}
	var out []Event
	for _, p := range after.Pools {
		for _, t := range p.Targets {
			state, known := was[key{p.Name, t.ID}]
			if !known || state == t.State || t.State == "draining" {
				continue
			}
			out = append(out, Event{
				Type: EventTarget, Time: t.Since, Pool: p.Name, Subject: t.ID, Text: turned(state, t),
				Data: map[string]string{"from": state, "state": t.State},
			})
		}
	}
	return out
}

// turned says what a target has become.
func turned(from string, t Target) string {
	text := "is " + t.State
	if t.State == "healthy" && from != "initial" {
		text += " again"
	}
	if t.Reason != "" {
		text += ": " + t.Reason
	}
	return text
}
