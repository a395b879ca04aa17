package main

import "testing"

func TestVerdict(t *testing.T) {
	of := func(kind, candidate string, mean, p99 float64) row {
		return row{Case: kind, Mix: "two", Load: 0.9, Candidate: candidate, MeanRatio: mean, P99Ratio: p99}
	}
	spread := of(churn, weirDefault.title, 1.05, 1)
	spread.Spread = 1.06
	failed := of(equal, weirDefault.title, 1, 1)
	failed.Failed = 1
	for name, c := range map[string]struct {
		row    row
		beside []row
		want   string
	}{
		"within":                {of(equal, weirDefault.title, 1.034, 1.03), nil, "reached"},
		"of another":            {of(equal, haproxyMaxconn.title, 1, 1), nil, ""},
		"the mean is over":      {of(equal, weirDefault.title, 1.04, 1), nil, "missed"},
		"with a failure":        {failed, nil, "missed"},
		"the machine's":         {of(equal, weirDefault.title, 1.12, 1), []row{of(equal, ownQueue.title, 1.10, 1)}, "missed, as without a proxy"},
		"more than the machine": {of(equal, weirDefault.title, 1.20, 1), []row{of(equal, ownQueue.title, 1.10, 1)}, "missed"},
		"by chance":             {spread, nil, "reached: by chance the ideal comes to 1.06"},
		"out of reach":          {of(shortest, weirShortest.title, 0.67, 0.97), []row{of(shortest, idealFewest, 0.66, 0.97)}, "out of reach, but what is possible (0.66, 0.97)"},
		"far from possible":     {of(shortest, weirShortest.title, 0.80, 0.97), []row{of(shortest, idealFewest, 0.66, 0.97)}, "missed; possible are 0.66, 0.97"},
		"possible, not reached": {of(shortest, weirShortest.title, 0.61, 0.97), []row{of(shortest, idealFewest, 0.55, 0.97)}, "missed"},
	} {
		r := report{Rows: append(c.beside, c.row)}
		if got := r.verdict(c.row); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
