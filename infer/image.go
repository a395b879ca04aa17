package infer

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// generateRaw answers POST /generate with the picture itself.
func (s *Server) generateRaw(c *call) error {
	_, b, err := s.generate(c)
	if err != nil {
		return err
	}
	return c.send("image/png", b)
}

// generateOpenAI answers POST /v1/images/generations with the picture in JSON.
func (s *Server) generateOpenAI(c *call) error {
	p, b, err := s.generate(c)
	if err != nil {
		return err
	}
	type item struct {
		B64JSON []byte `json:"b64_json"` // encoding/json writes bytes as base64
	}
	return c.sendJSON(map[string]any{
		"created": time.Now().Unix(), "data": []item{{b}}, "model": s.o.modelName(ModelImage),
		"device": s.o.Device, "steps": p.done, "real_steps": p.realSteps,
	})
}

// generate makes one picture, step by step on the device, and encodes it.
func (s *Server) generate(c *call) (*picture, []byte, error) {
	body, err := c.body()
	if err != nil {
		return nil, nil, err
	}
	req, err := decodeImage(body, s.o.Steps, s.requestSeed)
	if err != nil {
		return nil, nil, err
	}
	if err := c.acquire(); err != nil {
		return nil, nil, err
	}
	if err := s.useCheckpoint(c.ctx, req.Checkpoint); err != nil {
		return nil, nil, err
	}
	p := newPicture(req, s.dev.emulated)
	for i := range req.Steps {
		err := s.dev.run(c.ctx, step{cost: s.o.StepTime, units: 1, follows: i > 0, work: p.step})
		if err != nil {
			return nil, nil, err
		}
		s.metrics.steps.Inc()
	}
	b, err := p.png(s.pictureComment(p))
	if err != nil {
		return nil, nil, err
	}
	h := c.w.Header()
	h.Set("X-Steps", strconv.Itoa(p.done))
	h.Set("X-Real-Steps", strconv.Itoa(p.realSteps))
	h.Set("X-Seed", strconv.FormatUint(req.seed, 10))
	return p, b, nil
}

// pictureComment says in the file how it was made.
func (s *Server) pictureComment(p *picture) string {
	if s.dev.emulated {
		return fmt.Sprintf("weir infer, EMULATED device: %d steps asked, %d computed at %dx%d",
			p.done, p.realSteps, p.field.width, p.field.height)
	}
	return fmt.Sprintf("weir infer, cpu device: %d steps computed", p.done)
}

// useCheckpoint brings another checkpoint into memory when the request wants one. The caller holds the image slot.
// An empty name is content with what is there, and a client that leaves meanwhile leaves what was there.
func (s *Server) useCheckpoint(ctx context.Context, name string) error {
	have := s.checkpoint.Load()
	if name == "" || have != nil && *have == name {
		return nil
	}
	if have != nil {
		if err := sleepUntil(ctx, time.Now().Add(s.o.CheckpointTime)); err != nil {
			return err
		}
		s.metrics.switches.Inc()
	}
	s.checkpoint.Store(&name)
	return nil
}
