package infer

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestMLPLearnsItsTask(t *testing.T) {
	for seed := range uint64(3) {
		n := trainMLP(seed)
		rng := rand.New(rand.NewPCG(seed, 99)) // points it has not seen
		const total = 4000
		right := 0
		for range total {
			x, y := 2*rng.Float64()-1, 2*rng.Float64()-1
			p := n.predict([]float64{x, y})
			if !sumsToOne(p[:]) {
				t.Fatalf("the chances %v do not sum to 1", p)
			}
			if p[zoneOf(x, y)] == max(p[0], p[1], p[2]) {
				right++
			}
		}
		// Guessing the commonest zone is right for 0.43 of the square.
		if share := float64(right) / total; share < 0.95 {
			t.Errorf("seed %d: right for %.3f of new points, want 0.95", seed, share)
		}
	}
}

// The gradients that training follows are those of the loss, checked by differences.
func TestMLPGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	l := newLayer(3, 2, rng)
	in, target := []float64{0.3, -0.7, 0.2}, []float64{0.5, -0.25}
	loss := func() (sum float64) {
		out := make([]float64, 2)
		l.forward(in, out)
		for i := range out {
			sum += sq(out[i]-target[i]) / 2
		}
		return sum
	}
	out, dout, din := make([]float64, 2), make([]float64, 2), make([]float64, 3)
	l.forward(in, out)
	for i := range out {
		dout[i] = out[i] - target[i]
	}
	l.backward(in, dout, din)
	const h = 1e-6
	check := func(name string, p *float64, got float64) {
		t.Helper()
		was := *p
		*p = was + h
		up := loss()
		*p = was - h
		down := loss()
		*p = was
		if want := (up - down) / (2 * h); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: gradient %g, want %g", name, got, want)
		}
	}
	for i := range l.w {
		check("weight", &l.w[i], l.gw[i])
	}
	for i := range l.b {
		check("bias", &l.b[i], l.gb[i])
	}
	for i := range in {
		check("input", &in[i], din[i])
	}
}

// A model that learned something finds text of the same kind, which it has not seen, far likelier than chance.
func TestCharModelBeatsUniform(t *testing.T) {
	entries := strings.Split(strings.TrimSpace(corpus), "\n\n")
	cut := len(entries) * 9 / 10
	m := trainChars(strings.Join(entries[:cut], "\n\n"))
	var logProb, n float64
	for _, e := range entries[cut:] {
		s := m.sampler(1, 1)
		for _, r := range e {
			s.read(r)
			n++
		}
		logProb += s.logProb
	}
	perplexity, uniform := math.Exp(-logProb/n), float64(len(m.alphabet))
	t.Logf("perplexity %.2f of a character, uniform %.0f", perplexity, uniform)
	if perplexity > uniform/5 {
		t.Errorf("perplexity of new text = %.2f, want under a fifth of the uniform %.0f", perplexity, uniform)
	}
}

// The chances follow Witten and Bell. After "a" in "ab", "ab", "ac": b twice, c once, two kinds; the alphabet is a, b, c
// and the end of the text.
func TestCharModelChances(t *testing.T) {
	m := trainChars("ab\n\nab\n\nac")
	// The alphabet is learned from the raw text, so the newline is in it too.
	v := float64(len(m.alphabet))
	if v != 5 {
		t.Fatalf("alphabet %q has %g characters, want 5", string(m.alphabet), v)
	}
	a, b := m.index['a'], m.index['b']
	// No context: a 3, b 2, c 1, end 3 times: 9 in all, 4 kinds.
	p0 := (2 + 4/v) / 13
	if got := m.probability(charContext{}, b); math.Abs(got-p0) > 1e-12 {
		t.Errorf("p(b) = %g, want %g", got, p0)
	}
	// After a: b 2, c 1: 3 in all, 2 kinds.
	p1 := (2 + 2*p0) / 5
	if got := m.probability(charContext{}.push(a), b); math.Abs(got-p1) > 1e-12 {
		t.Errorf("p(b|a) = %g, want %g", got, p1)
	}

	p := make([]float64, len(m.alphabet))
	m.distribution(charContext{}.push(a), p)
	for i := range p {
		if want := m.probability(charContext{}.push(a), uint8(i)); math.Abs(p[i]-want) > 1e-12 {
			t.Errorf("distribution[%d] = %g, probability %g", i, p[i], want)
		}
	}
	if !sumsToOne(p) {
		t.Errorf("the chances %v do not sum to 1", p)
	}
}

func TestCharSampler(t *testing.T) {
	m := trainChars(corpus)
	write := func(seed uint64, temperature float64) string {
		s := m.sampler(seed, temperature)
		for _, r := range "Q: Hello.\nA:" {
			s.read(r)
		}
		var b strings.Builder
		for range 80 {
			b.WriteRune(s.next(false))
		}
		return b.String()
	}
	if again := write(1, 0.7); again != write(1, 0.7) {
		t.Error("the same seed wrote different texts")
	}
	if write(1, 0.7) == write(2, 0.7) {
		t.Error("different seeds wrote the same text")
	}
	if write(1, 0) != write(2, 0) {
		t.Error("at temperature 0 the seed matters")
	}
	if got := write(1, 0); !strings.HasPrefix(got, " Hello") {
		t.Errorf("the likeliest answer to Hello is %q", got)
	}
	if s := write(3, 2); strings.ContainsRune(s, endOfText) {
		t.Error("the text ended though it must not")
	}
	// A text of strange characters is unlikely, not impossible.
	s := m.sampler(1, 1)
	for _, r := range "日本\x00" {
		s.read(r)
	}
	if math.IsInf(s.logProb, 0) || math.IsNaN(s.logProb) {
		t.Errorf("log probability of unknown characters = %g", s.logProb)
	}
}

func BenchmarkTrain(b *testing.B) {
	b.Run("chars", func(b *testing.B) {
		for b.Loop() {
			trainChars(corpus)
		}
	})
	b.Run("mlp", func(b *testing.B) {
		for b.Loop() {
			trainMLP(1)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	s := trainChars(corpus).sampler(1, 0.7)
	for b.Loop() {
		s.next(false)
	}
}
