package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxEvent bounds one event of a stream.
const maxEvent = 1 << 20

// eventReader reads server-sent events, as the HTML standard's "event stream interpretation" has it, without lone carriage returns as
// line ends, which no server sends.
type eventReader struct {
	r    *bufio.Reader
	line []byte
	data []byte
}

// next is the data of the next event that has some, valid until the call after. An event that the stream ends in is dropped: io.EOF.
func (e *eventReader) next() ([]byte, error) {
	e.data = e.data[:0]
	has := false
	for {
		line, err := e.readLine()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			if has {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data"))
		if !ok || len(value) > 0 && value[0] != ':' {
			continue // a comment or another field
		}
		value = bytes.TrimPrefix(bytes.TrimPrefix(value, []byte(":")), []byte(" "))
		if has {
			e.data = append(e.data, '\n')
		}
		has = true
		if e.data = append(e.data, value...); len(e.data) > maxEvent {
			return nil, fmt.Errorf("an event is longer than %d bytes", maxEvent)
		}
	}
}

// readLine is the next line without its end.
func (e *eventReader) readLine() ([]byte, error) {
	part, err := e.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		e.line = e.line[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			if e.line = append(e.line, part...); len(e.line) > maxEvent {
				return nil, fmt.Errorf("a line is longer than %d bytes", maxEvent)
			}
			part, err = e.r.ReadSlice('\n')
		}
		e.line = append(e.line, part...)
		part = e.line
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(part[:len(part)-1], []byte("\r")), nil
}

// isError says whether an event is an error in the form in which OpenAI's and vLLM's servers send one within a stream.
func isError(data []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(data, " "), []byte("{"))
	return ok && bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte(`"error"`))
}

// isToken says whether an event brings text. All do, but for the events of OpenAI's format whose choices carry none, such as the first
// one of a chat, which only names the role.
func isToken(data []byte) bool {
	var e struct {
		Choices []struct {
			Text  string `json:"text"`
			Delta struct {
				Content          string          `json:"content"`
				Reasoning        string          `json:"reasoning"`
				ReasoningContent string          `json:"reasoning_content"`
				ToolCalls        json.RawMessage `json:"tool_calls"`
			} `json:"delta"`
		} `json:"choices"`
	}
	if json.Unmarshal(data, &e) != nil || e.Choices == nil {
		return true
	}
	for _, c := range e.Choices {
		d := c.Delta
		if c.Text != "" || d.Content != "" || d.Reasoning != "" || d.ReasoningContent != "" || d.ToolCalls != nil {
			return true
		}
	}
	return false
}
