package alarm

import (
	"slices"
	"strings"
	"testing"
)

func TestComposite(t *testing.T) {
	states := map[string]State{"a": Alarm, "b": OK, "c": InsufficientData, "my alarm": Alarm}
	for rule, want := range map[string]State{
		"ALARM(a)":                                 Alarm,
		"ALARM(b)":                                 OK,
		"NOT ALARM(b)":                             Alarm,
		"NOT ALARM(b) AND OK(a)":                   OK,
		"ALARM(a) OR ALARM(b) AND ALARM(b)":        Alarm, // AND binds closer
		"(ALARM(a) OR ALARM(b)) AND ALARM(b)":      OK,
		"NOT (ALARM(b) OR OK(a))":                  Alarm,
		`ALARM("my alarm") AND TRUE`:               Alarm,
		"INSUFFICIENT_DATA(c) AND NOT FALSE":       Alarm,
		"AT_LEAST(2, ALARM, (a, \"my alarm\", b))": Alarm,
		"AT_LEAST(3, ALARM, (a, \"my alarm\", b))": OK,
		"AT_LEAST(50%, OK, (a, b))":                Alarm,
		"AT_LEAST(51%, OK, (a, b))":                OK,
		"ALARM(nobody)":                            OK,
	} {
		c, err := ParseComposite(rule)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if got := c.Eval(func(name string) State { return states[name] }); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	c, err := ParseComposite("ALARM(a) AND OK(b) OR ALARM(a)")
	if err != nil || !slices.Equal(c.Names(), []string{"a", "b"}) {
		t.Errorf("names %v, %v", c.Names(), err)
	}
}

func TestCompositeErrors(t *testing.T) {
	for rule, want := range map[string]string{
		"":                                "ends where ALARM(…)",
		"ALARM":                           `ends where "(" should follow`,
		"ALARM(a":                         `ends where ")" should follow`,
		"ALARM()":                         "the name of an alarm",
		"ALARM(a) ALARM(b)":               `has "ALARM" at character 10, where AND, OR or the end`,
		"alarm(a)":                        `has "alarm" at character 1`,
		"AT_LEAST(0, ALARM, (a))":         "a number from 1",
		"AT_LEAST(3, ALARM, (a, b))":      "can never be",
		"ALARM(a) AND":                    "ends where",
		strings.Repeat("(", 200):          "nested more than",
		strings.Repeat("NOT ", 3000) + "": "longer than",
	} {
		if _, err := ParseComposite(rule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", rule, err, want)
		}
	}
}

func FuzzComposite(f *testing.F) {
	for _, s := range []string{"ALARM(a) AND NOT (OK(b) OR TRUE)", `AT_LEAST(50%, OK, ("x y", b))`, "NOT NOT FALSE", "((", `ALARM("`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		c, err := ParseComposite(rule)
		if err != nil {
			return
		}
		if s := c.Eval(func(string) State { return Alarm }); s != Alarm && s != OK {
			t.Fatalf("%q gives %q", rule, s)
		}
	})
}
