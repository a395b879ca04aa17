package config

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxValues bounds the values that one file decodes to, so that anchors that
// hold anchors cannot fill the memory.
const maxValues = 100_000

// field is what the tags of a struct field ask of its value.
type field struct {
	name     string // in the file
	index    int
	noun     string // what a value of enum is, such as "an algorithm"
	enum     []string
	example  string
	required bool
	minimum  *float64
	maximum  *float64
	above    *float64 // exclusive minimum
	notEmpty bool
	keys     []string // the kinds of Key that are allowed
}

// items is what is asked of the items of a list.
func (f field) items() field { return field{name: f.name, noun: f.noun, enum: f.enum} }

// fields reads the tags of a struct type. The jsonschema tags are those of
// [Schema], so that a file is held to what the schema promises.
func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{name: sf.Tag.Get("yaml"), index: i, noun: sf.Tag.Get("noun"), example: sf.Tag.Get("example"), keys: strings.Fields(sf.Tag.Get("keys"))}
		if f.name == "-" {
			continue
		}
		for option := range strings.SplitSeq(sf.Tag.Get("jsonschema"), ",") {
			name, value, _ := strings.Cut(option, "=")
			switch name {
			case "required":
				f.required = true
			case "enum":
				f.enum = append(f.enum, value)
			case "minimum":
				f.minimum = number(value)
			case "maximum":
				f.maximum = number(value)
			case "exclusiveMinimum":
				f.above = number(value)
			case "minItems", "minLength", "minProperties":
				f.notEmpty = true
			}
		}
		all = append(all, f)
	}
	return all
}

func number(s string) *float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic("config: a struct tag has a number that is none: " + s) // a mistake in config.go, not in a file
	}
	return &f
}

// decoder fills structs from nodes and records every mistake on the way. A
// value with a mistake leaves what was there before, which is its default.
type decoder struct {
	*report
	budget int
}

// decode sets v, which is at path, from n. The field f says what else is
// asked of the value.
func (d *decoder) decode(n *node, v reflect.Value, path string, f field) {
	if d.budget--; d.budget <= 0 {
		if d.budget == 0 {
			d.fail(path, "anchors make this file %d values large; write out what you need", maxValues)
		}
		return
	}
	if n.kind == nullKind {
		d.null(v, path)
		return
	}
	if n.fromEnv() {
		d.expanded[path] = n
	}
	if v.Kind() == reflect.Pointer {
		made := fresh(v.Type().Elem())
		d.decode(n, made, path, f)
		v.Set(made.Addr())
		return
	}
	switch p := v.Addr().Interface().(type) {
	case form:
		if err := p.parse(n.text); err != nil { // a mapping or a list has no text, which is of no form
			d.fail(path, "%s %v", n.describe(), err)
		}
		return
	case *Key:
		d.key(n, p, path, f)
		return
	case shorthand:
		if n.scalar() {
			known := fields(v.Type())
			i := slices.IndexFunc(known, func(f field) bool { return f.name == p.short() })
			d.decode(n, v.Field(known[i].index), path, known[i])
			return
		}
	case *StatusList, *StringList:
		if n.kind != listKind {
			n = &node{kind: listKind, at: n.at, items: []*node{n}}
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path, f)
	case reflect.Slice:
		d.list(n, v, path, f)
	case reflect.String:
		d.text(n, v, path, f)
	case reflect.Int:
		d.integer(n, v, path, f)
	case reflect.Float64:
		d.float(n, v, path, f)
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.Interface:
		if value, ok := d.free(n, path); ok {
			v.Set(reflect.ValueOf(&value).Elem())
		}
	default:
		panic("config: no way to decode a " + v.Type().String()) // a mistake in config.go, not in a file
	}
}

// fresh makes a value that starts from its defaults.
func fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(defaulter); ok {
		d.setDefaults()
	}
	return v.Elem()
}

// null refuses a key without a value: it is more often an indentation that
// slipped than a wish for the default. Only a value of any form may be null.
// Where an error was recorded, the null only stands for that.
func (d *decoder) null(v reflect.Value, path string) {
	if d.failed(path) || v.Kind() == reflect.Interface {
		return
	}
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct {
		d.fail(path, "has no value; indent its keys below it, write {} for the defaults, or remove it")
		return
	}
	d.fail(path, "has no value; write one, or remove it for the default")
}

// mismatch records that n is not what its place needs.
func (d *decoder) mismatch(n *node, path, want string) {
	d.fail(path, "%s is not %s", n.describe(), want)
}

func (d *decoder) structure(n *node, v reflect.Value, path string) {
	if n.kind != mapKind {
		d.mismatch(n, path, "a mapping; write its keys below it, as in "+d.sample(v.Type()))
		return
	}
	known := fields(v.Type())
	_, k8s := v.Addr().Interface().(kubernetes)
	for _, e := range n.entries {
		at := child(path, e.key)
		if k8s { // either spelling
			e.key = snake(e.key)
			if d.has(child(path, e.key)) {
				d.failAt(e.at, at, "is written twice, in two ways; keep one of them")
				continue
			}
			d.where[child(path, e.key)] = e.at
		}
		d.where[at] = e.at
		if i := slices.IndexFunc(known, func(f field) bool { return f.name == e.key }); i >= 0 {
			d.decode(e.value, v.Field(known[i].index), at, known[i])
			continue
		}
		if slices.Contains(laterKeys[v.Type()], e.key) {
			d.fail(at, "this version of Weir does not have %q yet; remove it", e.key)
			continue
		}
		var names []string
		for _, f := range known {
			names = append(names, f.name)
		}
		d.fail(at, "there is no key %q here; %s", e.key, didYouMean(e.key, names))
	}
	for _, f := range known {
		if f.required && !slices.ContainsFunc(n.entries, func(e entry) bool { return e.key == f.name || k8s && snake(e.key) == f.name }) {
			d.failAt(n.at, path, "has no %q; add it, as in %s: %s", f.name, f.name, f.example)
		}
	}
}

// samples are structs whose keys depend on each other, so that tags cannot
// say what is needed.
var samples = map[reflect.Type]string{
	reflect.TypeFor[Route]():          "{pool: api}",
	reflect.TypeFor[Match]():          "{prefix: a}",
	reflect.TypeFor[TLS]():            "{certificates: [{cert: site.pem, key: site-key.pem}]}",
	reflect.TypeFor[RequestSize]():    "{json: steps}",
	reflect.TypeFor[HeaderEdits]():    "{set: {X-Env: production}}",
	reflect.TypeFor[Rewrite]():        "{strip_prefix: /api}",
	reflect.TypeFor[Sticky]():         "{duration: 1h}",
	reflect.TypeFor[TargetPolicy]():   "{metric: in_flight, value: 4}",
	reflect.TypeFor[StepPolicy]():     "{metric: cpu_utilization, threshold: 50, steps: [{lower: 0, adjustment: 1}]}",
	reflect.TypeFor[SimplePolicy]():   "{metric: cpu_utilization, threshold: 50, adjustment: 1}",
	reflect.TypeFor[HPAPolicy]():      "{metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]}",
	reflect.TypeFor[HPAName]():        "{name: queue_depth}",
	reflect.TypeFor[SchedulePolicy](): "{cron: \"0 9 * * 1-5\", min: 10}",
}

// sample shows the keys of a struct that a file must give, or else its first.
func (d *decoder) sample(t reflect.Type) string {
	if s := samples[t]; s != "" {
		return s
	}
	var parts []string
	for _, f := range fields(t) {
		if f.required {
			parts = append(parts, f.name+": "+f.example)
		}
	}
	if len(parts) == 0 {
		return "{" + fields(t)[0].name + ": …}"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (d *decoder) mapping(n *node, v reflect.Value, path string, f field) {
	if n.kind != mapKind {
		d.mismatch(n, path, "a mapping; write key: value pairs below it")
		return
	}
	if len(n.entries) == 0 && f.notEmpty {
		d.fail(path, "is empty; add at least one, as in %s", f.example)
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.entries))
	for _, e := range n.entries {
		at := child(path, e.key)
		d.where[at] = e.at
		value := fresh(v.Type().Elem())
		before := len(d.errs)
		d.decode(e.value, value, at, field{})
		// A pool with mistakes is still a pool that routes may name.
		if value.Kind() == reflect.Pointer && value.IsNil() {
			made := fresh(value.Type().Elem())
			value.Set(made.Addr())
		}
		if value.Kind() == reflect.Pointer || len(d.errs) == before {
			m.SetMapIndex(reflect.ValueOf(e.key), value)
		}
	}
	v.Set(m)
}

func (d *decoder) list(n *node, v reflect.Value, path string, f field) {
	if n.kind != listKind {
		d.mismatch(n, path, "a list; write it in [brackets], or each item on a line that begins with \"- \"")
		return
	}
	if len(n.items) == 0 && f.notEmpty {
		d.fail(path, "is empty; list at least one, as in %s", f.example)
		return
	}
	l := reflect.MakeSlice(v.Type(), 0, len(n.items))
	for i, one := range n.items {
		at := item(path, i)
		d.where[at] = one.at
		value := fresh(v.Type().Elem())
		d.decode(one, value, at, f.items())
		l = reflect.Append(l, value)
	}
	v.Set(l)
}

func (d *decoder) text(n *node, v reflect.Value, path string, f field) {
	switch plain := n.kind == intKind || n.kind == floatKind || n.kind == boolKind; {
	case plain && f.enum != nil && !slices.Contains(f.enum, n.text):
		d.fail(path, "%s is not %s; %s", n.describe(), f.noun, didYouMean(n.text, f.enum))
	case plain:
		example := f.example
		if !strings.HasPrefix(example, `"`) {
			example = strconv.Quote(n.text)
		}
		d.fail(path, "%s is not text here; put it in quotes, as in %s", n.text, example)
	case n.kind != stringKind:
		d.mismatch(n, path, "text; write one value")
	case n.text == "" && f.notEmpty && f.required:
		d.fail(path, "is empty; write for example %s", f.example)
	case n.text == "" && f.notEmpty:
		d.fail(path, "is empty; write a value, or remove it for the default")
	case f.enum != nil && !slices.Contains(f.enum, n.text):
		if slices.Contains(laterValues[f.name], n.text) {
			d.fail(path, "this version of Weir does not have %q yet; %s", n.text, didYouMean("", f.enum))
			return
		}
		d.fail(path, "%s is not %s; %s", n.describe(), f.noun, didYouMean(n.text, f.enum))
	default:
		v.SetString(n.text)
	}
}

func (d *decoder) integer(n *node, v reflect.Value, path string, f field) {
	i, err := strconv.ParseInt(n.text, 10, 32)
	switch {
	case !n.numeric():
		d.mismatch(n, path, "a whole number"+n.unquote(err))
	case errors.Is(err, strconv.ErrRange):
		d.fail(path, "%s is too large; the most is %d", n.describe(), math.MaxInt32)
	case err != nil:
		d.mismatch(n, path, "a whole number")
	case d.inRange(n, float64(i), path, f):
		v.SetInt(i)
	}
}

func (d *decoder) float(n *node, v reflect.Value, path string, f field) {
	x, err := strconv.ParseFloat(n.text, 64)
	switch {
	case !n.numeric():
		d.mismatch(n, path, "a number"+n.unquote(err))
	case err != nil || math.IsInf(x, 0) || math.IsNaN(x):
		d.mismatch(n, path, "a number")
	case d.inRange(n, x, path, f):
		v.SetFloat(x)
	}
}

// numeric reports whether n may stand for a number: unquoted, or from the
// environment, which knows only text.
func (n *node) numeric() bool {
	return n.kind == intKind || n.kind == floatKind || n.fromEnv()
}

// scalar reports whether n is one value, not a mapping or a list.
func (n *node) scalar() bool { return n.kind != mapKind && n.kind != listKind }

// fromEnv reports whether n holds what the environment said.
func (n *node) fromEnv() bool { return n.kind == stringKind && n.source != "" }

// unquote is the remedy for a number or a bool that is in quotes: its text
// parsed without an error.
func (n *node) unquote(err error) string {
	if err == nil && n.kind == stringKind {
		return "; remove the quotes"
	}
	return ""
}

func (d *decoder) inRange(n *node, x float64, path string, f field) bool {
	switch {
	case f.minimum != nil && f.maximum != nil && (x < *f.minimum || x > *f.maximum):
		d.fail(path, "%s is not from %s to %s", n.describe(), decimal(*f.minimum), decimal(*f.maximum))
	case f.minimum != nil && x < *f.minimum:
		d.fail(path, "%s is too small; write %g or more", n.describe(), *f.minimum)
	case f.above != nil && x <= *f.above:
		d.fail(path, "%s is too small; write more than %g", n.describe(), *f.above)
	default:
		return true
	}
	return false
}

// decimal writes a number as a person would.
func decimal(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func (d *decoder) boolean(n *node, v reflect.Value, path string) {
	is, err := strconv.ParseBool(strings.ToLower(n.text))
	if (n.kind == boolKind || n.fromEnv()) && err == nil {
		v.SetBool(is)
		return
	}
	d.mismatch(n, path, "true or false"+n.unquote(err))
}

// key sets a key of a request that is of one of the kinds f allows.
func (d *decoder) key(n *node, to *Key, path string, f field) {
	kind, name, named := strings.Cut(n.text, ":")
	var forms []string
	for _, k := range f.keys {
		if needsName(k) {
			forms = append(forms, k+":NAME")
		} else {
			forms = append(forms, k)
		}
	}
	switch {
	case n.kind != stringKind:
		d.mismatch(n, path, "a key of a request; "+didYouMean("", forms))
	case !slices.Contains(f.keys, kind):
		d.fail(path, "%s is not a key of a request that can stand here; %s", n.describe(), didYouMean(n.text, forms))
	case needsName(kind) && name == "":
		d.fail(path, "%s does not say which %s; write for example %q", n.describe(), keyNouns[kind], keyExamples[kind])
	case !needsName(kind) && named:
		d.fail(path, "%s has a name where none belongs; write %q", n.describe(), kind)
	case kind == KeyJSON && !isFieldPath(name):
		d.fail(path, "%s does not name a field; write names with dots between them, as in %q", n.describe(), keyExamples[kind])
	case (kind == KeyHeader || kind == KeyCookie) && !isToken(name):
		d.fail(path, "%s does not name a %s; write for example %q", n.describe(), keyNouns[kind], keyExamples[kind])
	default:
		*to = Key{Kind: kind, Name: name}
	}
}

// free converts a value of any form to what encoding/json would give, so
// that the two compare equal: numbers are float64.
func (d *decoder) free(n *node, path string) (any, bool) {
	switch n.kind {
	case stringKind:
		return n.text, true
	case boolKind:
		return strings.EqualFold(n.text, "true"), true
	case listKind:
		list := []any{}
		d.list(n, reflect.ValueOf(&list).Elem(), path, field{})
		return list, true
	case mapKind:
		object := map[string]any{}
		d.mapping(n, reflect.ValueOf(&object).Elem(), path, field{})
		return object, true
	}
	var x float64
	before := len(d.errs)
	d.float(n, reflect.ValueOf(&x).Elem(), path, field{})
	return x, len(d.errs) == before
}
