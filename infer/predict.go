package infer

import (
	"context"
	"slices"
)

// predict answers /predict with the zone a point lies in.
func (s *Server) predict(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	in, err := decodePredict(body)
	if err != nil {
		return err
	}
	if err := c.acquire(); err != nil {
		return err
	}
	var p [len(zones)]float64
	err = s.dev.run(c.ctx, step{cost: s.o.PredictTime, units: 1, work: func(context.Context) {
		p = c.models.mlp.predict(in)
	}})
	if err != nil {
		return err
	}
	s.metrics.predictions.Inc()
	c.release()
	best := slices.Index(p[:], slices.Max(p[:]))
	return c.sendJSON(map[string]any{
		"output": p, "label": zones[best], "model": s.o.modelName(ModelPredict), "device": s.o.Device,
	})
}
