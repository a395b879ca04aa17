package infer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
)

// The real work behind a picture of the emulated device, whatever was asked for: enough to show the scene, little
// enough that twenty instances share two cores. Answers say so.
const (
	emulatedSide  = 64 // pixels of the longer side that are sampled; the picture is enlarged from them
	emulatedSteps = 4
)

// picture is an image being generated: a diffusion sampler that is advanced one step at a time.
type picture struct {
	width, height int // of the result
	realSteps     int // steps that are computed
	done          int // steps that were asked for and have passed
	levels        []float64
	field         field
}

// newPicture begins an image of width by height pixels with pure noise. Equal arguments give equal pictures.
func newPicture(req *imageRequest, emulated bool) *picture {
	p := &picture{width: req.width, height: req.height, realSteps: req.Steps}
	w, h := p.width, p.height
	if emulated {
		p.realSteps = min(req.Steps, emulatedSteps)
		longer := max(w, h)
		side := min(longer, emulatedSide)
		w, h = max(1, w*side/longer), max(1, h*side/longer)
	}
	rng := rand.New(rand.NewPCG(req.seed, hashText(req.Prompt, req.Checkpoint)))
	aspect := float64(w) / float64(h)
	s := newScene(req.Prompt, req.Checkpoint, aspect, p.realSteps, rng)
	unit := 1 / float64(h)
	p.levels = noiseSchedule(p.realSteps)
	p.field = field{width: w, height: h, points: make([][3]float64, w*h),
		target: func(x, y int, m mixture) mixture {
			return s.at((float64(x)+0.5)*unit, (float64(y)+0.5)*unit, 1.5*unit, m)
		}}
	for i := range p.field.points {
		p.field.points[i] = noisePoint(rng)
	}
	return p
}

// step does the next of the steps that were asked for. Once the real ones are done, the rest of them only take the
// device's time.
func (p *picture) step(ctx context.Context) {
	if p.done < p.realSteps {
		p.field.advance(ctx, p.levels[p.done], p.levels[p.done+1])
	}
	p.done++
}

// png encodes the picture as it is, with a text chunk that says how it was made.
func (p *picture) png(comment string) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, p.width, p.height))
	for y := range p.height {
		row := p.field.points[y*p.field.height/p.height*p.field.width:]
		for x := range p.width {
			c := row[x*p.field.width/p.width]
			px := img.Pix[img.PixOffset(x, y):]
			for i := range 3 {
				px[i] = uint8(min(max((c[i]+1)*127.5, 0), 255))
			}
			px[3] = 255
		}
	}
	var buf bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&buf, img); err != nil {
		return nil, fmt.Errorf("encoding the picture: %w", err)
	}
	return withComment(buf.Bytes(), comment), nil
}

// withComment puts a tEXt chunk behind the header of a PNG (Portable Network Graphics specification, 11.3.4.3).
func withComment(b []byte, comment string) []byte {
	const header = 8 + 25 // signature and IHDR
	data := append([]byte("tEXtComment\x00"), comment...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(data)-4))
	chunk = append(chunk, data...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(data))
	out := make([]byte, 0, len(b)+len(chunk))
	out = append(out, b[:header]...)
	out = append(out, chunk...)
	return append(out, b[header:]...)
}
