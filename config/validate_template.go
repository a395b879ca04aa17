package config

import (
	"io"
	"strings"
	"text/template"
)

func (v checker) template(path string, t *Template) {
	command := child(path, "command")
	hasPort := false
	for i, word := range t.Command {
		v.words(item(command, i), word)
		hasPort = hasPort || strings.Contains(word, ".Port")
	}
	if len(t.Command) > 0 && t.Command[0] == "" {
		v.fail(item(command, 0), "is empty; write the program to run")
	}
	for _, name := range names(t.Env) {
		at := child(child(path, "env"), name)
		if name == "" || strings.ContainsAny(name, "=\x00") {
			v.fail(at, "%q cannot name an environment variable; write letters, digits and \"_\"", name)
		}
		v.words(at, t.Env[name])
		hasPort = hasPort || strings.Contains(t.Env[name], ".Port")
	}
	if !hasPort && len(t.Command) > 0 {
		v.warn(command, "nothing tells the instance its port; pass {{.Port}} in the command or in env")
	}
	if c := t.Limits.CPUTime; c > 0 && c < seconds(1) {
		v.fail(child(child(path, "limits"), "cpu_time"), "%s is below what the kernel counts; write \"1s\" or more", c)
	}
	v.positive(child(path, "start_timeout"), int64(t.StartTimeout), "10m")
	v.positive(child(path, "stop_timeout"), int64(t.StopTimeout), "30s")
	v.positive(child(child(path, "log"), "max_size"), int64(t.Log.MaxSize), "10MiB")
	backoff := child(path, "backoff")
	v.positive(child(backoff, "initial"), int64(t.Backoff.Initial), "1s")
	if t.Backoff.Max < t.Backoff.Initial {
		v.fail(v.mentioned(child(backoff, "max"), child(backoff, "initial")), "the longest pause (max %s) is shorter than the first (initial %s); raise max or lower initial", t.Backoff.Max, t.Backoff.Initial)
	}
	if t.WarmUp != nil {
		v.warmUp(child(path, "warm_up"), t.WarmUp)
	}
}

// words checks the {{…}} in a word of a command or a value of env.
func (v checker) words(path, text string) {
	if strings.ContainsRune(text, 0) {
		v.fail(path, "has a zero byte, which no program can be given; remove it")
		return
	}
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err == nil {
		err = t.Execute(io.Discard, struct {
			Port     int
			ID, Pool string
		}{})
	}
	if err != nil {
		v.fail(path, "%q cannot be filled in; it may use {{.Port}}, {{.ID}} and {{.Pool}}", shorten(text))
	}
}

func (v checker) warmUp(path string, w *WarmUp) {
	v.urlPath(child(path, "path"), w.Path)
	if w.Method != "" {
		v.method(child(path, "method"), w.Method)
	}
	v.positive(child(path, "timeout"), int64(w.Timeout), "60s")
	v.headers(child(path, "headers"), w.Headers)
}
