package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

type alarmsCmd struct {
	remote
	Name string `arg:"" optional:"" help:"An alarm, to see its history and what its actions came to."`
	JSON bool   `help:"Print JSON."`
}

func (alarmsCmd) Help() string {
	return `For example:

  weir alarms
  weir alarms high-wait
  weir alarms --json | jq -r '.alarms[] | select(.state=="ALARM") | .name'`
}

// alarmList is what GET /v1/alarms answers.
type alarmList struct {
	Alarms []alarmView `json:"alarms"`
}

type alarmView struct {
	Name    string    `json:"name"`
	Pool    string    `json:"pool"`
	Watches string    `json:"watches"`
	Rule    string    `json:"rule"`
	State   string    `json:"state"`
	Since   time.Time `json:"since"`
	Reason  string    `json:"reason"`
	History []struct {
		Time     time.Time `json:"time"`
		Previous string    `json:"previous"`
		State    string    `json:"state"`
		Reason   string    `json:"reason"`
	} `json:"history"`
	Actions []struct {
		Time     time.Time `json:"time"`
		State    string    `json:"state"`
		Action   string    `json:"action"`
		Attempts int       `json:"attempts"`
		Error    string    `json:"error"`
	} `json:"actions"`
}

func (r *alarmsCmd) Run(o *output) error {
	b, err := r.do("GET", "/v1/alarms", nil)
	if err != nil {
		return err
	}
	defer b.Close()
	if r.JSON && r.Name == "" {
		_, err = io.Copy(o.out, b)
		return err
	}
	var list alarmList
	if err := json.NewDecoder(b).Decode(&list); err != nil {
		return fmt.Errorf("reading the alarms: %w", err)
	}
	if r.Name == "" {
		printAlarms(o.out, list.Alarms)
		return nil
	}
	i := slices.IndexFunc(list.Alarms, func(a alarmView) bool { return a.Name == r.Name })
	if i < 0 {
		return fmt.Errorf("there is no alarm %s", r.Name)
	}
	if r.JSON {
		return json.NewEncoder(o.out).Encode(list.Alarms[i])
	}
	printAlarm(o.out, list.Alarms[i])
	return nil
}

func printAlarms(w io.Writer, list []alarmView) {
	if len(list) == 0 {
		fmt.Fprintln(w, "there are no alarms; the config names them under alarms")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ALARM\tSTATE\tSINCE\tPOOL\tWHY")
	for _, a := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.Name, a.State, since(a.Since), a.Pool, a.Reason)
	}
	t.Flush()
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func printAlarm(w io.Writer, a alarmView) {
	fmt.Fprintf(w, "%s is %s since %s\n", a.Name, a.State, since(a.Since))
	fmt.Fprintf(w, "watches  %s %s\nwhy      %s\n", a.Watches, a.Rule, a.Reason)
	for _, h := range a.History {
		fmt.Fprintf(w, "%s  %s -> %s  %s\n", since(h.Time), h.Previous, h.State, h.Reason)
	}
	for _, r := range a.Actions {
		came := "done"
		if r.Error != "" {
			came = "failed: " + r.Error
		}
		fmt.Fprintf(w, "%s  on %s %s, attempt %d: %s\n", since(r.Time), r.State, r.Action, r.Attempts, came)
	}
}
