package alarm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Composite is a rule over other alarms, in the words of CloudWatch's composite alarms:
//
//	ALARM(high-cpu) AND NOT (OK(queue) OR INSUFFICIENT_DATA("my alarm"))
//	AT_LEAST(2, ALARM, (a, b, c))
//	AT_LEAST(50%, OK, (a, b, c))
//
// NOT binds closest, then AND, then OR. TRUE and FALSE are themselves.
type Composite struct {
	text  string
	root  expr
	names []string
}

// expr tells whether it holds, given the states of alarms.
type expr func(state func(name string) State) bool

// Eval returns ALARM when the rule holds and OK when it does not.
func (c *Composite) Eval(state func(name string) State) State { return either(c.root(state)) }

// Names are the alarms that the rule looks at, each once, in the order in which it names them.
func (c *Composite) Names() []string { return slices.Clone(c.names) }

// String is the rule as it was written.
func (c *Composite) String() string { return c.text }

// Most a rule may be.
const (
	maxRule  = 10240 // characters, as in CloudWatch
	maxDepth = 100   // of brackets and NOT
)

// ParseComposite reads a rule. Its errors say where it is wrong.
func ParseComposite(text string) (*Composite, error) {
	if len(text) > maxRule {
		return nil, fmt.Errorf("is longer than %d characters", maxRule)
	}
	p := parser{text: text}
	p.next()
	root, err := p.or()
	if err == nil && p.token != "" {
		err = p.wrong("AND, OR or the end")
	}
	if err != nil {
		return nil, err
	}
	return &Composite{text: text, root: root, names: p.names}, nil
}

type parser struct {
	text   string
	at     int    // behind the token
	token  string // "" at the end
	quoted bool
	begin  int
	depth  int
	names  []string
}

// next moves on to the next token: a bracket, a comma, or a word, which may be in quotes.
func (p *parser) next() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.begin, p.quoted, p.token = p.at, false, ""
	if p.at == len(p.text) {
		return
	}
	switch rest := p.text[p.at:]; {
	case strings.IndexByte("(),", rest[0]) >= 0:
		p.at++
	case rest[0] == '"':
		if end := strings.IndexByte(rest[1:], '"'); end >= 0 {
			p.token, p.quoted = rest[1:1+end], true
			p.at += end + 2
			return
		}
		p.at = len(p.text)
	default:
		if end := strings.IndexAny(rest, " \t\r\n(),\""); end >= 0 {
			p.at += end
		} else {
			p.at = len(p.text)
		}
	}
	p.token = p.text[p.begin:p.at]
}

func (p *parser) wrong(want string) error {
	if p.token == "" && !p.quoted {
		return fmt.Errorf("ends where %s should follow", want)
	}
	return fmt.Errorf("has %q at character %d, where %s should follow", p.token, p.begin+1, want)
}

func (p *parser) is(token string) bool { return !p.quoted && p.token == token }

func (p *parser) expect(token string) error {
	if !p.is(token) {
		return p.wrong(strconv.Quote(token))
	}
	p.next()
	return nil
}

func (p *parser) or() (expr, error) {
	left, err := p.and()
	for err == nil && p.is("OR") {
		p.next()
		var right expr
		a := left
		if right, err = p.and(); err == nil {
			left = func(s func(string) State) bool { return a(s) || right(s) }
		}
	}
	return left, err
}

func (p *parser) and() (expr, error) {
	left, err := p.not()
	for err == nil && p.is("AND") {
		p.next()
		var right expr
		a := left
		if right, err = p.not(); err == nil {
			left = func(s func(string) State) bool { return a(s) && right(s) }
		}
	}
	return left, err
}

func (p *parser) not() (expr, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("is nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.is("NOT"):
		p.next()
		e, err := p.not()
		return func(s func(string) State) bool { return !e(s) }, err
	case p.is("("):
		p.next()
		e, err := p.or()
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case p.is("TRUE"), p.is("FALSE"):
		is := p.is("TRUE")
		p.next()
		return func(func(string) State) bool { return is }, nil
	case p.is("AT_LEAST"):
		return p.atLeast()
	}
	state, err := p.state()
	if err != nil {
		return nil, err
	}
	if err := p.expect("("); err != nil {
		return nil, err
	}
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	return func(s func(string) State) bool { return s(name) == state }, p.expect(")")
}

func (p *parser) state() (State, error) {
	for _, s := range []State{Alarm, OK, InsufficientData} {
		if p.is(string(s)) {
			p.next()
			return s, nil
		}
	}
	return "", p.wrong("ALARM(…), OK(…), INSUFFICIENT_DATA(…), AT_LEAST(…), NOT or a bracket")
}

func (p *parser) name() (string, error) {
	if p.token == "" || !p.quoted && strings.Contains("(),", p.token) {
		return "", p.wrong("the name of an alarm")
	}
	name := p.token
	if !slices.Contains(p.names, name) {
		p.names = append(p.names, name)
	}
	p.next()
	return name, nil
}

// atLeast reads AT_LEAST(n or n%, STATE, (names)).
func (p *parser) atLeast() (expr, error) {
	p.next()
	if err := p.expect("("); err != nil {
		return nil, err
	}
	number, percent := strings.CutSuffix(p.token, "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || percent && n > 100 {
		return nil, p.wrong(`a number from 1, or a percentage such as "50%",`)
	}
	p.next()
	if err := p.expect(","); err != nil {
		return nil, err
	}
	state, err := p.state()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.expect(","), p.expect("(")); err != nil {
		return nil, err
	}
	var names []string
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		if !p.is(",") {
			break
		}
		p.next()
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	if percent {
		n = (n*len(names) + 99) / 100
	}
	if n > len(names) {
		return nil, fmt.Errorf("asks for %d of %d alarms, which can never be", n, len(names))
	}
	return func(s func(string) State) bool {
		in := 0
		for _, name := range names {
			if s(name) == state {
				in++
			}
		}
		return in >= n
	}, p.expect(")")
}
