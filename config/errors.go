package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is one mistake in a file, where it is and what to write instead.
type Error struct {
	File    string // as given to Load or Parse
	Line    int    // from 1; 0 when the place is not known
	Column  int    // from 1, in characters
	Path    string // such as "pools.api.targets[0].weight"; empty for the whole file
	Message string // the mistake and the remedy
}

// Error formats e as "weir.yaml:12:5: pools.api.balance: message".
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	for _, part := range []string{e.Path, e.Message} {
		if b.Len() > 0 && part != "" {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Errors are all mistakes of a file, in the order of the file.
type Errors []Error

// Error gives one line for each mistake.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// position is a place in the file, both from 1, the column in characters.
type position struct{ line, column int }

// report gathers what is wrong with a file while it is read.
type report struct {
	file     string
	lines    []string
	where    map[string]position // of every path that the file has
	expanded map[string]*node    // of every path whose text came from the environment
	errs     []Error
	warnings []Error
}

// has reports whether the file has path.
func (r *report) has(path string) bool {
	_, ok := r.where[path]
	return ok
}

// find gives the place of path, or of the nearest thing around it that the
// file has.
func (r *report) find(path string) position {
	for path != "" {
		if at, ok := r.where[path]; ok {
			return at
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return position{1, 1}
}

// failed reports whether an error was found at path already; a second one
// would only be an echo of it.
func (r *report) failed(path string) bool {
	return slices.ContainsFunc(r.errs, func(e Error) bool { return e.Path == path })
}

// fail records an error at path.
func (r *report) fail(path, format string, args ...any) {
	r.failAt(r.find(path), path, format, args...)
}

// failAt records an error about path that is at a place of its own.
func (r *report) failAt(at position, path, format string, args ...any) {
	r.errs = append(r.errs, r.finding(at, path, format, args))
}

// warn records a warning at path.
func (r *report) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.finding(r.find(path), path, format, args))
}

// finding makes an Error. A value of the environment may be a secret, and
// errors end in logs, so the message shows ${NAME} in its place; what has
// less than three letters is no secret.
func (r *report) finding(at position, path, format string, args []any) Error {
	message := fmt.Sprintf(format, args...)
	if n := r.expanded[path]; n != nil && len(n.text) >= 3 {
		message = strings.ReplaceAll(message, n.text, n.source)
	}
	at = r.within(at)
	return Error{File: r.file, Line: at.line, Column: at.column, Path: path, Message: message}
}

// within moves a place that is outside the file to its nearest edge: goccy
// puts what is missing behind the end of a line.
func (r *report) within(at position) position {
	at.line = min(max(at.line, 1), len(r.lines))
	at.column = min(max(at.column, 1), utf8.RuneCountInString(r.lines[at.line-1])+1)
	return at
}

// errors gives what was recorded, in the order of the file.
func (r *report) errors() Errors { return sorted(r.errs) }

// sorted orders findings by position and drops repetitions.
func sorted(errs []Error) []Error {
	slices.SortStableFunc(errs, func(a, b Error) int {
		return cmp.Or(
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(errs)
}

// child is the path of a key of a mapping.
func child(path, key string) string {
	switch plain := isName(key); {
	case plain && path == "":
		return key
	case plain:
		return path + "." + key
	}
	return fmt.Sprintf("%s[%q]", path, key)
}

// item is the path of an item of a list.
func item(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// isName reports whether s consists of letters, digits, "-" and "_".
func isName(s string) bool {
	other := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	return s != "" && strings.IndexFunc(s, other) < 0
}
