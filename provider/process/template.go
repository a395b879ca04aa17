package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/weirlb/weir/fleet"
)

// facts are what the words of a command and the values of its environment may name.
type facts struct {
	ID, Pool, Host string
	Port           int
}

// expand fills a word in.
func expand(word string, f facts) (string, error) {
	t, err := template.New("").Option("missingkey=error").Parse(word)
	if err != nil {
		return "", fmt.Errorf("%q is not a template: %w; write {{.Port}}, {{.ID}}, {{.Pool}} or {{.Host}}", word, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, f); err != nil {
		return "", fmt.Errorf("%q: %w; there are {{.Port}}, {{.ID}}, {{.Pool}} and {{.Host}}", word, err)
	}
	return b.String(), nil
}

// Check finds what is wrong with a template before anything is launched: words that do not parse, a command that does not
// exist or may not be executed, a directory that is none.
func Check(t fleet.Template) error {
	if len(t.Command) == 0 {
		return errors.New("command: it is empty; write the program and its arguments")
	}
	f := facts{ID: "id", Pool: "pool", Host: "127.0.0.1", Port: 1}
	for i, w := range t.Command {
		if _, err := expand(w, f); err != nil {
			return fmt.Errorf("command[%d]: %w", i, err)
		}
	}
	for k, v := range t.Env {
		if strings.ContainsAny(k, "=\x00") || k == "" {
			return fmt.Errorf("env: %q is not a variable's name", k)
		}
		if _, err := expand(v, f); err != nil {
			return fmt.Errorf("env.%s: %w", k, err)
		}
	}
	if t.Dir != "" {
		if st, err := os.Stat(t.Dir); err != nil {
			return fmt.Errorf("dir: %w", err)
		} else if !st.IsDir() {
			return fmt.Errorf("dir: %s is not a directory", t.Dir)
		}
	}
	_, err := program(t, f)
	return err
}

// program finds the command's program as an absolute path: a name without a slash in PATH, any other relative to the
// working directory.
func program(t fleet.Template, f facts) (string, error) {
	name, err := expand(t.Command[0], f)
	if err != nil {
		return "", fmt.Errorf("command[0]: %w", err)
	}
	if !strings.Contains(name, "/") {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("command: there is no program %q in PATH; write its path, or install it", name)
		}
		return filepath.Abs(path)
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.Dir, path)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("command: there is no program %s; a path is relative to dir", path)
	case st.IsDir() || st.Mode()&0o111 == 0:
		return "", fmt.Errorf("command: %s is not executable; chmod +x it", path)
	}
	return path, nil
}

// shell is what sets the limits: it replaces itself with the program, so that the limits hold from the program's first
// instruction on and for all that it starts, and the process that Weir watches is the program. Go cannot run code
// between fork and exec, and prlimit on the child would come after it had begun.
const shell = "/bin/sh"

// limited wraps a command so that it runs within limits.
func limited(path string, args []string, l fleet.Limits) (string, []string) {
	var set []string
	if l.Memory > 0 {
		set = append(set, fmt.Sprintf("ulimit -v %d", max(l.Memory>>10, 1)))
	}
	if l.CPUTime > 0 {
		set = append(set, fmt.Sprintf("ulimit -t %d", max(int64(l.CPUTime.Seconds()), 1)))
	}
	if l.OpenFiles > 0 {
		set = append(set, fmt.Sprintf("ulimit -n %d", l.OpenFiles))
	}
	run := `exec "$0" "$@"`
	if l.Nice > 0 {
		run = fmt.Sprintf(`exec nice -n %d "$0" "$@"`, l.Nice)
	}
	if len(set) == 0 && l.Nice == 0 {
		return path, args
	}
	script := strings.Join(append(set, run), " && ")
	return shell, slices.Concat([]string{"-c", script, path}, args)
}
