package infer

import (
	"bytes"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"
)

// sample draws n points from m with the given number of steps.
func sample(m mixture, n, steps int, rng *rand.Rand) [][3]float64 {
	levels := noiseSchedule(steps)
	out := make([][3]float64, n)
	for i := range out {
		x := noisePoint(rng)
		for k := range steps {
			x = m.eulerStep(x, levels[k], levels[k+1], 3)
		}
		out[i] = x
	}
	return out
}

// moments returns the mean and the variance of each coordinate.
func moments(points [][3]float64) (mean, variance [3]float64) {
	n := float64(len(points))
	for i := range 3 {
		for _, p := range points {
			mean[i] += p[i] / n
		}
		for _, p := range points {
			variance[i] += sq(p[i]-mean[i]) / (n - 1)
		}
	}
	return mean, variance
}

// A sampler that follows the true score draws from the mixture: its mean is the weighted mean of the components', its
// variance the variance within plus the variance between, and each component gets its share.
func TestSamplerDrawsFromTheMixture(t *testing.T) {
	m := mixture{
		{3, [3]float64{-0.6, 0.2, 0}, 0.1},
		{1, [3]float64{0.7, 0.2, -0.5}, 0.2},
	}
	const n = 4000
	points := sample(m, n, 60, rand.New(rand.NewPCG(1, 2)))

	var left int
	for _, p := range points {
		if p[0] < 0.05 {
			left++
		}
	}
	// Four standard deviations of a binomial with n draws of 3/4.
	if got, tol := float64(left)/n, 4*math.Sqrt(0.75*0.25/n); math.Abs(got-0.75) > tol {
		t.Errorf("share of the first component = %.4f, want 0.75 within %.4f", got, tol)
	}
	mean, variance := moments(points)
	for i := range 3 {
		a, b := m[0], m[1]
		wantMean := 0.75*a.mean[i] + 0.25*b.mean[i]
		wantVar := 0.75*(sq(a.sigma)+sq(a.mean[i]-wantMean)) + 0.25*(sq(b.sigma)+sq(b.mean[i]-wantMean))
		if tol := 5 * math.Sqrt(wantVar/n); math.Abs(mean[i]-wantMean) > tol {
			t.Errorf("mean of coordinate %d = %.4f, want %.4f within %.4f", i, mean[i], wantMean, tol)
		}
		// Euler's method leaves a few per cent of the variance within a component at 60 steps.
		if math.Abs(variance[i]-wantVar) > 0.1*wantVar {
			t.Errorf("variance of coordinate %d = %.4f, want %.4f within a tenth", i, variance[i], wantVar)
		}
	}
}

// For one normal distribution the path has a closed form, x(0) = mean + sigma/sqrt(sigma²+noise²)·(x - mean), and
// Euler's method, being of first order, halves its distance to it when the steps double.
func TestSamplerConvergesToTheExactPath(t *testing.T) {
	g := gaussian{1, [3]float64{0.3, -0.2, 0.1}, 0.3}
	start := [3]float64{9, -4, 2}
	miss := func(steps int) float64 {
		levels := noiseSchedule(steps)
		x := start
		for k := range steps {
			x = mixture{g}.eulerStep(x, levels[k], levels[k+1], 3)
		}
		var worst float64
		for i := range 3 {
			scale := g.sigma / math.Sqrt(sq(g.sigma)+sq(noiseMax))
			worst = max(worst, math.Abs(x[i]-(g.mean[i]+scale*(start[i]-g.mean[i]))))
		}
		return worst
	}
	for steps := 100; steps <= 400; steps *= 2 {
		if ratio := miss(steps) / miss(2*steps); ratio < 1.7 || ratio > 2.3 {
			t.Errorf("error at %d steps is %.3f times that at %d, want about 2", steps, ratio, 2*steps)
		}
	}
	if m := miss(1600); m > 0.01 {
		t.Errorf("error at 1600 steps = %g, want under 0.01", m)
	}
}

// The score is the gradient of the log density, which can be checked by differences.
func TestDenoiseIsTweediesFormula(t *testing.T) {
	m := mixture{{2, [3]float64{-0.5, 0, 0.4}, 0.2}, {1, [3]float64{0.6, 0.3, -0.1}, 0.3}}
	logDensity := func(x [3]float64, noise float64) float64 {
		var p float64
		for _, g := range m {
			v := sq(g.sigma) + sq(noise)
			d2 := sq(x[0]-g.mean[0]) + sq(x[1]-g.mean[1]) + sq(x[2]-g.mean[2])
			p += g.weight * math.Pow(v, -1.5) * math.Exp(-d2/(2*v))
		}
		return math.Log(p)
	}
	x, noise, h := [3]float64{0.1, 0.2, -0.3}, 0.7, 1e-5
	clean := m.denoise(x, noise, 3)
	for i := range 3 {
		up, down := x, x
		up[i] += h
		down[i] -= h
		want := (logDensity(up, noise) - logDensity(down, noise)) / (2 * h)
		if got := (clean[i] - x[i]) / sq(noise); math.Abs(got-want) > 1e-6 {
			t.Errorf("score %d = %g, want %g", i, got, want)
		}
	}
}

func TestNoiseScheduleFalls(t *testing.T) {
	for _, steps := range []int{1, 2, 20, maxSteps} {
		l := noiseSchedule(steps)
		if len(l) != steps+1 || math.Abs(l[0]-noiseMax) > 1e-9 || l[steps] != 0 {
			t.Fatalf("schedule of %d steps = %v", steps, l)
		}
		for i := range steps {
			if l[i+1] >= l[i] {
				t.Fatalf("schedule of %d steps rises at %d: %v", steps, i, l)
			}
		}
	}
}

// render makes a whole picture.
func render(t testing.TB, req imageRequest, emulated bool) []byte {
	t.Helper()
	p := newPicture(&req, emulated)
	for range req.Steps {
		p.step(t.Context())
	}
	b, err := p.png("made by a test")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPictureShowsItsScene(t *testing.T) {
	req := imageRequest{Prompt: "a river in summer", Steps: 20, width: 96, height: 64, seed: 5}
	b := render(t, req, false)
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if r := img.Bounds(); r.Dx() != 96 || r.Dy() != 64 {
		t.Errorf("picture is %v, want 96x64", r)
	}
	if !bytes.Contains(b, []byte("tEXtComment\x00made by a test")) {
		t.Error("the comment is missing")
	}
	// Mean colour of a row of sky against a row of water: the blue palette's sky is lighter near the horizon.
	red := func(y int) (sum float64) {
		for x := range 96 {
			r, _, _, _ := img.At(x, y).RGBA()
			sum += float64(r>>8) / 96
		}
		return sum
	}
	if top, bottom := red(0), red(63); top < 40 || top > 90 || bottom < 20 || bottom > 140 {
		t.Errorf("mean red of the top row is %.0f and of the bottom row %.0f, not a blue sky over water", top, bottom)
	}

	if !bytes.Equal(b, render(t, req, false)) {
		t.Error("the same request gave another picture")
	}
	other := req
	other.seed++
	if bytes.Equal(b, render(t, other, false)) {
		t.Error("another seed gave the same picture")
	}
	other = req
	other.Prompt = "night"
	if bytes.Equal(b, render(t, other, false)) {
		t.Error("another prompt gave the same picture")
	}
}

func TestEmulatedPictureIsCheapAndFullSize(t *testing.T) {
	req := &imageRequest{Prompt: "sunset", Steps: 30, width: 512, height: 300}
	p := newPicture(req, true)
	if p.realSteps != emulatedSteps || p.field.width != emulatedSide || p.field.height != emulatedSide*300/512 {
		t.Errorf("an emulated picture computes %d steps at %dx%d", p.realSteps, p.field.width, p.field.height)
	}
	for range req.Steps {
		p.step(t.Context())
	}
	if p.done != 30 {
		t.Errorf("did %d steps, want 30", p.done)
	}
	b, err := p.png("")
	if err != nil {
		t.Fatal(err)
	}
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil || c.Width != 512 || c.Height != 300 {
		t.Errorf("picture is %dx%d (%v), want 512x300", c.Width, c.Height, err)
	}
}

func TestEverySizeOfPictureCanBeMade(t *testing.T) {
	for _, size := range [][2]int{{minSide, maxSide}, {maxSide, minSide}, {minSide, minSide}} {
		for _, emulated := range []bool{false, true} {
			render(t, imageRequest{Prompt: "x", Steps: 1, width: size[0], height: size[1]}, emulated)
		}
	}
}

func BenchmarkImageStep(b *testing.B) {
	p := newPicture(&imageRequest{Prompt: "a river", Steps: 20, width: 256, height: 256}, false)
	for b.Loop() {
		p.field.advance(b.Context(), 1, 0.9)
	}
}
