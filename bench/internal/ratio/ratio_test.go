package ratio_test

import (
	"maps"
	"testing"

	"github.com/weirlb/weir/bench/internal/ratio"
)

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		name   string
		rounds ratio.Rounds
		want   ratio.Summary
	}{
		{"none", nil, ratio.Summary{}},
		{"one", ratio.Rounds{3: 7}, ratio.Summary{Median: 7, Min: 7, Max: 7, N: 1}},
		{"odd", ratio.Rounds{0: 30, 1: 10, 4: 20}, ratio.Summary{Median: 20, Min: 10, Max: 30, N: 3}},
		{"even", ratio.Rounds{0: 4, 1: 1, 2: 3, 3: 2}, ratio.Summary{Median: 2.5, Min: 1, Max: 4, N: 4}},
	} {
		if got := test.rounds.Summary(); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestToPairsRounds(t *testing.T) {
	// The machine was twice as slow in round 1; both programs show it, the ratio does not.
	mine := ratio.Rounds{0: 8, 1: 16, 2: 9, 3: 5, 5: -1}
	base := ratio.Rounds{0: 10, 1: 20, 3: 0, 4: 1, 5: 2}
	want := ratio.Rounds{0: 0.8, 1: 0.8, 5: -0.5}
	if got := mine.To(base); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
