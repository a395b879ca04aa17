package infer

import (
	_ "embed"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

//go:embed corpus.txt
var corpus string

const (
	charOrder = 7 // characters of context the model looks back

	// endOfText closes every entry of the training text; generating it ends an answer.
	endOfText = 0
)

// charModel predicts the next character from the ones before it. It counts every context of up to charOrder
// characters and interpolates the long ones with the short ones by how many different characters followed each
// (Witten and Bell 1991, method C; the interpolated form of Chen and Goodman 1998): a context seen n times with t
// different followers weighs n/(n+t) against its shorter self. The shortest of all is the uniform distribution, so no
// character is impossible.
type charModel struct {
	alphabet []rune         // alphabet[0] is endOfText
	index    map[rune]uint8 // inverse of alphabet
	contexts map[uint64]*followers
}

// followers is what followed one context.
type followers struct {
	total uint32
	next  []charCount
}

type charCount struct {
	symbol uint8
	n      uint32
}

// charContext is the last characters before the next one, eight bits each, the newest lowest.
type charContext struct {
	packed uint64
	length int
}

func (c charContext) push(symbol uint8) charContext {
	return charContext{
		packed: (c.packed<<8 | uint64(symbol)) & (1<<(8*charOrder) - 1),
		length: min(c.length+1, charOrder),
	}
}

// key names the context's newest n characters. Its top byte is n, so that contexts of different lengths differ.
func (c charContext) key(n int) uint64 {
	return uint64(n)<<56 | c.packed&(1<<(8*n)-1)
}

// trainChars learns text, whose entries are separated by blank lines. The text may have up to 254 different
// characters; what is beyond that is left out.
func trainChars(text string) *charModel {
	m := &charModel{alphabet: []rune{endOfText}, index: map[rune]uint8{}, contexts: map[uint64]*followers{}}
	for _, r := range text {
		if _, ok := m.index[r]; !ok && len(m.alphabet) < 255 {
			m.index[r] = uint8(len(m.alphabet))
			m.alphabet = append(m.alphabet, r)
		}
	}
	for entry := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		ctx := charContext{}.push(endOfText)
		for _, r := range entry {
			if symbol, ok := m.index[r]; ok {
				m.count(ctx, symbol)
				ctx = ctx.push(symbol)
			}
		}
		m.count(ctx, endOfText)
	}
	return m
}

func (m *charModel) count(ctx charContext, symbol uint8) {
	for n := 0; n <= ctx.length; n++ {
		key := ctx.key(n)
		seen := m.contexts[key]
		if seen == nil {
			seen = &followers{}
			m.contexts[key] = seen
		}
		seen.total++
		if i := slices.IndexFunc(seen.next, func(c charCount) bool { return c.symbol == symbol }); i >= 0 {
			seen.next[i].n++
		} else {
			seen.next = append(seen.next, charCount{symbol, 1})
		}
	}
}

// probability returns the chance of symbol after ctx.
func (m *charModel) probability(ctx charContext, symbol uint8) float64 {
	p := 1 / float64(len(m.alphabet))
	for n := 0; n <= ctx.length; n++ {
		seen := m.contexts[ctx.key(n)]
		if seen == nil {
			break // a longer context was not seen either
		}
		kinds := float64(len(seen.next))
		p *= kinds
		for _, c := range seen.next {
			if c.symbol == symbol {
				p += float64(c.n)
				break
			}
		}
		p /= float64(seen.total) + kinds
	}
	return p
}

// distribution fills p, as long as the alphabet, with the chance of every character after ctx.
func (m *charModel) distribution(ctx charContext, p []float64) {
	for i := range p {
		p[i] = 1 / float64(len(p))
	}
	for n := 0; n <= ctx.length; n++ {
		seen := m.contexts[ctx.key(n)]
		if seen == nil {
			break
		}
		kinds := float64(len(seen.next))
		norm := float64(seen.total) + kinds
		for i := range p {
			p[i] *= kinds / norm
		}
		for _, c := range seen.next {
			p[c.symbol] += float64(c.n) / norm
		}
	}
}

// charSampler is one sequence being read and continued.
type charSampler struct {
	model       *charModel
	ctx         charContext
	temperature float64
	rng         *rand.Rand
	logProb     float64 // natural logarithm of the chance of everything read
	p           []float64
}

func (m *charModel) sampler(seed uint64, temperature float64) *charSampler {
	return &charSampler{
		model: m, ctx: charContext{}.push(endOfText), temperature: temperature,
		rng: rand.New(rand.NewPCG(seed, 0x63686172)), p: make([]float64, len(m.alphabet)),
	}
}

// read takes a character of the prompt in. One the model does not know costs the uniform chance and is otherwise
// read as a space.
func (s *charSampler) read(r rune) {
	symbol, ok := s.model.index[r]
	if ok {
		s.logProb += math.Log(s.model.probability(s.ctx, symbol))
	} else {
		s.logProb -= math.Log(float64(len(s.model.alphabet)))
		symbol = s.model.index[' ']
	}
	s.ctx = s.ctx.push(symbol)
}

// next draws the next character. With mayEnd it may be endOfText, else never.
func (s *charSampler) next(mayEnd bool) rune {
	s.model.distribution(s.ctx, s.p)
	if !mayEnd {
		s.p[endOfText] = 0
	}
	symbol := uint8(s.draw())
	s.ctx = s.ctx.push(symbol)
	return s.model.alphabet[symbol]
}

// draw picks an index of p at the sampler's temperature; at 0 the likeliest.
func (s *charSampler) draw() int {
	best := 0
	for i, p := range s.p {
		if p > s.p[best] {
			best = i
		}
	}
	if s.temperature <= 0 {
		return best
	}
	var sum float64
	for i, p := range s.p {
		if s.temperature != 1 {
			// Relative to the best, so that a low temperature cannot underflow them all.
			p = math.Pow(p/s.p[best], 1/s.temperature)
		}
		s.p[i] = p
		sum += p
	}
	u := s.rng.Float64() * sum
	for i, p := range s.p {
		if u -= p; u < 0 {
			return i
		}
	}
	return best
}
