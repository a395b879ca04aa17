package infer

import (
	"math"
	"math/rand/v2"
)

// The predict model's task: say in which zone of a target a point lies.
const (
	mlpInputs = 2
	mlpHidden = 16
)

// zones are the classes, from the middle of the target outwards.
var zones = [...]string{"core", "ring", "outside"}

// zoneOf is the truth the network learns: the distance from the middle decides.
func zoneOf(x, y float64) int {
	switch r := math.Hypot(x, y); {
	case r < 0.45:
		return 0
	case r < 0.85:
		return 1
	}
	return 2
}

// layer is one fully connected layer: out = w·in + b.
type layer struct {
	in, out int
	w, b    []float64 // w is row by row, one row an output
	gw, gb  []float64 // gradients of the batch being learned
	m, v    []float64 // Adam's moments, w's and then b's
}

func newLayer(in, out int, rng *rand.Rand) *layer {
	l := &layer{
		in: in, out: out,
		w: make([]float64, in*out), b: make([]float64, out),
		gw: make([]float64, in*out), gb: make([]float64, out),
		m: make([]float64, in*out+out), v: make([]float64, in*out+out),
	}
	limit := math.Sqrt(6 / float64(in+out)) // Glorot and Bengio 2010
	for i := range l.w {
		l.w[i] = limit * (2*rng.Float64() - 1)
	}
	return l
}

func (l *layer) forward(in, out []float64) {
	for o := range out {
		sum := l.b[o]
		for i, w := range l.w[o*l.in : (o+1)*l.in] {
			sum += w * in[i]
		}
		out[o] = sum
	}
}

// backward adds the gradients for one example, dout being the loss's slope at the output, and, when din is not nil,
// sets it to the slope at the input.
func (l *layer) backward(in, dout, din []float64) {
	clear(din)
	for o, d := range dout {
		l.gb[o] += d
		row := o * l.in
		for i := range l.in {
			l.gw[row+i] += d * in[i]
			if din != nil {
				din[i] += d * l.w[row+i]
			}
		}
	}
}

// adam moves the weights against the gradients, t being the number of the update from 1 (Kingma and Ba 2015).
func (l *layer) adam(rate float64, t int) {
	const beta1, beta2, eps = 0.9, 0.999, 1e-8
	c1, c2 := 1-math.Pow(beta1, float64(t)), 1-math.Pow(beta2, float64(t))
	update := func(p, g, m, v []float64) {
		for i := range p {
			m[i] = beta1*m[i] + (1-beta1)*g[i]
			v[i] = beta2*v[i] + (1-beta2)*g[i]*g[i]
			p[i] -= rate * (m[i] / c1) / (math.Sqrt(v[i]/c2) + eps)
			g[i] = 0
		}
	}
	n := len(l.w)
	update(l.w, l.gw, l.m[:n], l.v[:n])
	update(l.b, l.gb, l.m[n:], l.v[n:])
}

// mlp is a network of two hidden layers with tanh and a softmax over the zones.
type mlp struct{ l1, l2, l3 *layer }

// trace is what one forward pass computed.
type trace struct {
	h1, h2 [mlpHidden]float64
	p      [len(zones)]float64
}

func (n *mlp) forward(in []float64, t *trace) {
	n.l1.forward(in, t.h1[:])
	tanh(t.h1[:])
	n.l2.forward(t.h1[:], t.h2[:])
	tanh(t.h2[:])
	n.l3.forward(t.h2[:], t.p[:])
	largest := max(t.p[0], t.p[1], t.p[2])
	var sum float64
	for i, z := range t.p {
		t.p[i] = math.Exp(z - largest)
		sum += t.p[i]
	}
	for i := range t.p {
		t.p[i] /= sum
	}
}

func tanh(v []float64) {
	for i := range v {
		v[i] = math.Tanh(v[i])
	}
}

// predict returns the probability of each zone.
func (n *mlp) predict(in []float64) [len(zones)]float64 {
	var t trace
	n.forward(in, &t)
	return t.p
}

// trainMLP makes a network and teaches it the zones of random points with cross-entropy loss. Equal seeds give equal
// networks. It takes some tens of milliseconds.
func trainMLP(seed uint64) *mlp {
	const (
		updates = 500
		batch   = 32
	)
	rng := rand.New(rand.NewPCG(seed, 0x6d6c70))
	n := &mlp{newLayer(mlpInputs, mlpHidden, rng), newLayer(mlpHidden, mlpHidden, rng), newLayer(mlpHidden, len(zones), rng)}
	var t trace
	var d1, d2 [mlpHidden]float64
	var d3 [len(zones)]float64
	// With two inputs, small first weights and no bias start every unit as the same slope through the middle, and about
	// one seed in eighty never leaves that. Steeper units that bend in different places always do.
	for i := range n.l1.w {
		n.l1.w[i] *= 2
	}
	for i := range n.l1.b {
		n.l1.b[i] = 2*rng.Float64() - 1
	}
	for u := range updates {
		for range batch {
			in := [mlpInputs]float64{2*rng.Float64() - 1, 2*rng.Float64() - 1}
			n.forward(in[:], &t)
			d3 = t.p // softmax with cross-entropy: the slope is p minus the truth
			d3[zoneOf(in[0], in[1])]--
			for i := range d3 {
				d3[i] /= batch
			}
			n.l3.backward(t.h2[:], d3[:], d2[:])
			for i, h := range t.h2 {
				d2[i] *= 1 - h*h
			}
			n.l2.backward(t.h1[:], d2[:], d1[:])
			for i, h := range t.h1 {
				d1[i] *= 1 - h*h
			}
			n.l1.backward(in[:], d1[:], nil)
		}
		rate := 0.03 * (1 - float64(u)/updates)
		for _, l := range []*layer{n.l1, n.l2, n.l3} {
			l.adam(rate, u+1)
		}
	}
	return n
}
