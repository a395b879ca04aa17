package scale

import "encoding/json"

// SaveState implements Stateful.
func (h *HPA) SaveState() ([]byte, error) { return json.Marshal(h.State()) }

// RestoreState implements Stateful.
func (h *HPA) RestoreState(b []byte) error {
	s, err := unmarshal[HPAState](b)
	if err == nil {
		h.Restore(s)
	}
	return err
}

func unmarshal[S any](b []byte) (s S, err error) {
	err = json.Unmarshal(b, &s)
	return s, err
}
