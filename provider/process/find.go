package process

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/shirou/gopsutil/v4/process"
)

// Found is a process that carries this provider's marks.
type Found struct {
	ID, Pool string
	identity
}

// List returns the leading processes of all instances that belong to this state directory, whether a record knows them or not.
func (p *Provider) List() ([]Found, error) {
	pids, err := process.Pids()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []Found
	for _, pid := range pids {
		env, err := environ(int(pid))
		if err != nil || env[markInstance] == "" || env[markState] != p.o.Dir {
			continue
		}
		if !leads(int(pid)) {
			continue // a child of an instance has its environment too
		}
		start, err := startTime(int(pid))
		if err != nil {
			continue
		}
		out = append(out, Found{env[markInstance], env[markPool], identity{int(pid), start, env[markAddr]}})
	}
	return out, nil
}

// environ reads a process's environment.
func environ(pid int) (map[string]string, error) {
	p, err := process.NewProcess(int32(pid))
	if err != nil {
		return nil, err
	}
	vars, err := p.Environ()
	if err != nil {
		return nil, err
	}
	if len(vars) == 0 {
		return nil, errors.New("no environment to read")
	}
	out := make(map[string]string, len(vars))
	for _, v := range vars {
		if k, val, ok := strings.Cut(v, "="); ok {
			out[k] = val
		}
	}
	return out, nil
}

// self keeps a Weir that was itself launched as an instance from finding itself.
var self = os.Getpid()
