package infer

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
)

// palette is the colours of a scene, each -1 to 1 per channel.
type palette struct {
	words                                    []string // words of a prompt that ask for it
	zenith, haze, sun, far, near, deep, glow [3]float64
}

// rgb turns 0xRRGGBB into the sampler's range.
func rgb(c uint32) [3]float64 {
	channel := func(shift uint) float64 { return float64(c>>shift&0xff)/127.5 - 1 }
	return [3]float64{channel(16), channel(8), channel(0)}
}

var palettes = []palette{
	{[]string{"day", "summer", "blue", "sea", "ocean", "lake", "river"},
		rgb(0x3a7bd5), rgb(0xcfe6f7), rgb(0xfff6c8), rgb(0x7f9fae), rgb(0x3f6b4a), rgb(0x1f4e79), rgb(0xbfdcee)},
	{[]string{"sunset", "dusk", "evening", "red", "autumn", "fire"},
		rgb(0x3b2a5c), rgb(0xf6925c), rgb(0xffe29a), rgb(0x7a4a6a), rgb(0x2f2038), rgb(0x3a2748), rgb(0xf7a66e)},
	{[]string{"night", "moon", "dark", "star", "stars", "black"},
		rgb(0x060a1e), rgb(0x1d2b52), rgb(0xf2f2e0), rgb(0x141c36), rgb(0x090d18), rgb(0x0a1430), rgb(0x9fb0d0)},
	{[]string{"forest", "green", "spring", "tree", "trees", "meadow"},
		rgb(0x86c5c0), rgb(0xeef5d2), rgb(0xfffbe0), rgb(0x7fae78), rgb(0x24562f), rgb(0x2c6b5f), rgb(0xd8ecc0)},
	{[]string{"winter", "snow", "ice", "white", "mountain", "mountains"},
		rgb(0x8fa9c4), rgb(0xf0f3f7), rgb(0xffffff), rgb(0xdfe7ef), rgb(0xa9bccc), rgb(0x6f8ba6), rgb(0xf5f8fb)},
}

// choosePalette takes the palette whose words the prompt uses most; without any, the prompt and the checkpoint pick.
func choosePalette(prompt, checkpoint string) palette {
	best, hits := -1, 0
	words := strings.FieldsFunc(strings.ToLower(prompt), func(r rune) bool { return r < 'a' || r > 'z' })
	for i, p := range palettes {
		n := 0
		for _, want := range p.words {
			for _, w := range words {
				if w == want {
					n++
				}
			}
		}
		if n > hits {
			best, hits = i, n
		}
	}
	if best < 0 {
		best = int(hashText(prompt, checkpoint) % uint64(len(palettes)))
	}
	return palettes[best]
}

// hashText folds texts into one number that is the same on every machine.
func hashText(texts ...string) uint64 {
	h := fnv.New64a()
	for _, t := range texts {
		_, _ = h.Write([]byte(t)) // a hash never fails to write
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// scene is a landscape: a sun over two ranges of hills and a lake. Lengths are shares of the picture's height, the
// origin is the top left.
type scene struct {
	palette
	sunX, sunY, sunR float64
	horizon          float64
	farTop, nearTop  float64 // how high the hills rise over the horizon
	farPhase         float64
	nearPhase        float64
	aspect           float64 // width over height
}

// structure is the distribution of the scene's layout: where the sun stands (left or right, high or low), and how the
// hills lie. Each row is three numbers drawn together.
var structure = [3]mixture{
	{ // sun's place, -1 to 1 across and down, and its size
		{1, [3]float64{-0.5, -0.4, 0}, 0.12}, {1, [3]float64{0.45, -0.5, 0.1}, 0.12}, {1, [3]float64{0.1, 0.3, 0.3}, 0.1},
	},
	{ // horizon and the height of the hills
		{2, [3]float64{0.0, 0.1, 0.0}, 0.15}, {1, [3]float64{0.3, 0.8, 0.3}, 0.15},
	},
	{ // phases of the hills
		{1, [3]float64{0, 0, 0}, 1},
	},
}

// newScene samples the layout with the same sampler and as many steps as the picture: the first stage of a cascade,
// as small as its nine numbers.
func newScene(prompt, checkpoint string, aspect float64, steps int, rng *rand.Rand) scene {
	levels := noiseSchedule(steps)
	var v [3][3]float64
	for i, m := range structure {
		x := noisePoint(rng)
		for k := range steps {
			x = m.eulerStep(x, levels[k], levels[k+1], 3)
		}
		v[i] = x
	}
	clamp := func(x, lo, hi float64) float64 { return min(max(x, lo), hi) }
	horizon := clamp(0.64+0.08*v[1][0], 0.5, 0.8)
	return scene{
		palette: choosePalette(prompt, checkpoint),
		sunX:    aspect * clamp(0.5+0.5*v[0][0], 0.1, 0.9),
		sunY:    horizon * clamp(0.5+0.4*v[0][1], 0.1, 0.9),
		sunR:    clamp(0.075+0.03*v[0][2], 0.04, 0.14),
		horizon: horizon,
		farTop:  clamp(0.17+0.06*v[1][1], 0.06, 0.3), nearTop: clamp(0.08+0.04*v[1][2], 0.03, 0.16),
		farPhase: 2 * math.Pi * v[2][0], nearPhase: 2 * math.Pi * v[2][1],
		aspect: aspect,
	}
}

// noisePoint is where a sampler begins: pure noise.
func noisePoint(rng *rand.Rand) [3]float64 {
	return [3]float64{noiseMax * rng.NormFloat64(), noiseMax * rng.NormFloat64(), noiseMax * rng.NormFloat64()}
}

// grain is the standard deviation of a colour around its region's.
const grain = 0.035

// at appends the distribution of the colour at x, y (shares of the height) to m: a component for each region the
// place may belong to, weighted by how likely it does. soft is how wide a border between regions is.
func (s *scene) at(x, y, soft float64, m mixture) mixture {
	add := func(share float64, colour [3]float64) {
		if share > 1e-3 {
			m = append(m, gaussian{share, colour, grain})
		}
	}
	inside := func(depth float64) float64 { return 1 / (1 + math.Exp(-4*max(-50, min(50, depth/soft)))) }

	left := 1.0 // what the regions in front have not covered
	water := inside(y - s.horizon)
	if water > 1e-3 {
		shimmer := math.Exp(-sq((x-s.sunX)/(0.6*s.sunR+0.35*(y-s.horizon)))) * (0.55 + 0.45*math.Sin(90*math.Sqrt(max(0, y-s.horizon))))
		add(water*(1-shimmer), blend(s.glow, s.deep, 0.35+1.6*(y-s.horizon)))
		add(water*shimmer, blend(s.glow, s.sun, 0.5))
		left -= water
	}
	near := s.horizon - s.nearTop*(0.6+0.25*math.Sin(5*x+s.nearPhase)+0.15*math.Sin(13*x+2*s.nearPhase))
	share := left * inside(y-near)
	add(share, s.near)
	left -= share
	far := s.horizon - s.nearTop*0.4 - s.farTop*(0.55+0.3*math.Sin(3.3*x+s.farPhase)+0.15*math.Sin(8*x-s.farPhase))
	share = left * inside(y-far)
	add(share, blend(s.far, s.haze, 0.25*(y-far)/s.farTop))
	left -= share
	share = left * inside(s.sunR-math.Hypot(x-s.sunX, y-s.sunY))
	add(share, s.sun)
	left -= share
	add(left, blend(s.zenith, s.haze, y/s.horizon))
	if len(m) == 0 {
		m = append(m, gaussian{1, s.haze, grain})
	}
	return m
}

func sq(x float64) float64 { return x * x }

// blend mixes b into a by t, 0 to 1.
func blend(a, b [3]float64, t float64) [3]float64 {
	t = min(max(t, 0), 1)
	for i := range a {
		a[i] += t * (b[i] - a[i])
	}
	return a
}
