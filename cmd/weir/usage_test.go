package main

import (
	"bytes"
	"strings"
	"testing"
)

// A mistake on the command line is told with the command that it was made in, and where its help is.
func TestAWrongCommandLineSaysWhereHelpIs(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"replay --bogus", "Try: weir replay --help"},
		{"plan --usrs 3", `did you mean "--users"?`},
		{"frob", "Try: weir --help"},
	} {
		var out, errs bytes.Buffer
		if code := run(strings.Fields(c.line), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
			t.Errorf("weir %s: exit code %d\n%s%s", c.line, code, &out, &errs)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"--version"}, &out, &errs); code != exitOK || strings.TrimSpace(out.String()) != versionString() {
		t.Errorf("--version: exit code %d, %q\n%s", code, &out, &errs)
	}
}
