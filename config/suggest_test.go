package config

import "testing"

func TestNearest(t *testing.T) {
	algorithms := []string{"round_robin", "weighted_round_robin", "least_connections"}
	for _, c := range []struct {
		word  string
		known []string
		want  string
	}{
		{"leastconn", algorithms, "least_connections"},
		{"least_conn", algorithms, "least_connections"},
		{"LeastConnections", algorithms, "least_connections"},
		{"roundrobin", algorithms, "round_robin"},
		{"rond_robin", algorithms, "round_robin"},
		{"weighted", algorithms, "weighted_round_robin"},
		{"magic", algorithms, ""},
		{"", algorithms, ""},
		{"x", []string{"api"}, ""},
		{"ap", []string{"api", "apo"}, "api"},
		{"helth", []string{"health", "liveness"}, "health"},
		{"timeout", []string{"timeouts", "targets"}, "timeouts"},
	} {
		if got := nearest(c.word, c.known); got != c.want {
			t.Errorf("%q: got %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"abc", "abc", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for _, c := range []struct {
		known []string
		want  string
	}{
		{nil, "there is none to choose from"},
		{[]string{"process"}, `write "process"`},
		{[]string{"b", "c", "a"}, "write one of a, b or c"},
	} {
		if got := didYouMean("zzzzzz", c.known); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
