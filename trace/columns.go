package trace

import (
	"slices"
	"strings"
	"time"
)

// role is what a column is for.
type role uint8

const (
	noRole role = iota
	roleTime
	roleEnd
	roleService
	roleTotal
	roleWait
	roleIn
	roleOut
	roleModel
	rolePrefix
	roleTenant
	roleMethod
	rolePath
	roleQuery
	roleStatus
	roleBytes
	roleSteps
	roleImages
	roleLoras
	roleCount
	roleAttempts
	nRoles
)

var roleNames = [nRoles]string{"", "time", "end", "service", "total", "wait", "in", "out", "model", "prefix", "tenant", "method", "path", "query",
	"status", "bytes", "steps", "images", "loras", "count", "attempts"}

// Roles are what a column may be for, as Options.Columns names it. The time is that of a request's begin, or its end; "total" is the
// whole time from one to the other, "service" that without "wait".
func Roles() []string { return slices.Clone(roleNames[1:]) }

func roleList() string { return strings.Join(roleNames[1:], ", ") }

func roleOf(name string) (role, bool) {
	i := slices.Index(roleNames[:], name)
	return role(max(i, 0)), i > 0
}

// known are the names columns have in the wild, in lower case and without what is not a letter or digit; times also without a unit behind.
var known = func() map[string]role {
	m := map[string]role{}
	for r, names := range map[role]string{
		roleTime:     "timestamp time ts date datetime arrival arrivaltime arrivaltimestamp arrivedat start starttime starttimestamp begin createdat gmtcreate eventtime requestedat receivedat requesttimestamp period",
		roleEnd:      "end endtime endtimestamp finishedat completedat timelocal timeiso8601 msec",
		roleService:  "service servicetime exectime execution executiontime processingtime gputime runtime upstreamresponsetime",
		roleTotal:    "total duration latency responsetime elapsed elapsedtime requesttime requestduration",
		roleWait:     "wait waittime queue queuetime queueing queuewait",
		roleIn:       "in input inputlength inputtokens inputtokencount contexttokens prompttokens numinputtokens numprompttokens numprefilltokens requesttokens",
		roleOut:      "out output outputlength outputtokens outputtokencount generatedtokens completiontokens numoutputtokens numdecodetokens responsetokens",
		roleModel:    "model modelname modelid checkpoint checkpointmodelversionid",
		rolePrefix:   "prefix prefixes hashids blockhashes prefixhashes",
		roleTenant:   "tenant tenantid groupid user userid customer customerid account accountid",
		roleMethod:   "method requestmethod httpmethod verb",
		rolePath:     "path url uri requesturi requestpath",
		roleQuery:    "query querystring args",
		roleStatus:   "status statuscode httpstatus predictstatus",
		roleBytes:    "bytes bytesout bodybytessent bytessent responsebytes responsesize",
		roleSteps:    "steps numinferencesteps inferencesteps samplingsteps",
		roleImages:   "images numimages numimagesperprompt",
		roleLoras:    "loras numlora numloras",
		roleCount:    "count requests requestcount numrequests",
		roleAttempts: "attempts",
	} {
		for n := range strings.FieldsSeq(names) {
			m[n] = r
		}
	}
	return m
}()

// unitNames end a column's name.
var unitNames = []struct {
	name string
	unit time.Duration
}{
	{"milliseconds", time.Millisecond}, {"microseconds", time.Microsecond}, {"nanoseconds", time.Nanosecond},
	{"millis", time.Millisecond}, {"micros", time.Microsecond}, {"nanos", time.Nanosecond},
	{"seconds", time.Second}, {"secs", time.Second}, {"sec", time.Second}, {"minutes", time.Minute},
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond}, {"s", time.Second},
}

// column is what a column holds.
type column struct {
	name string
	role role
	unit time.Duration // that its name tells, of a time
}

// columnOf tells by a column's name what it holds.
func columnOf(name string, by map[string]string) column {
	c := column{name: name}
	for r, n := range by {
		if strings.EqualFold(strings.TrimSpace(n), strings.TrimSpace(name)) {
			c.role, _ = roleOf(r)
		}
	}
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 0x80:
			return r
		}
		return -1
	}, name)
	found, ok := known[plain]
	if !ok || c.role != noRole {
		for _, u := range unitNames {
			stem, cut := strings.CutSuffix(plain, u.name)
			apart := strings.HasSuffix(strings.ToLower(name), "_"+u.name)
			if !cut || u.name == "s" && !apart { // "waits" is no wait in seconds
				continue
			}
			if r := known[stem]; c.role == noRole && r.timed() {
				found, c.unit = r, u.unit
			} else if c.role.timed() && apart {
				c.unit = u.unit
			}
			if c.unit != 0 {
				break
			}
		}
	}
	if plain == "requesttime" || plain == "upstreamresponsetime" || plain == "msec" { // nginx's count seconds
		c.unit = time.Second
	}
	if _, elsewhere := by[roleNames[found]]; c.role == noRole && !elsewhere {
		c.role = found
	}
	return c
}

func (r role) timed() bool { return r >= roleTime && r <= roleWait }
