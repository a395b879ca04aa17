package config

import "strings"

// balance checks that an algorithm has what it decides by, and that nothing
// is there for an algorithm that the pool does not use.
func (v checker) balance(path string, p *Pool) {
	at := v.mentioned(child(path, "balance"), path)
	for _, part := range []struct{ key, algorithm string }{
		{"hash_by", Hash}, {"prefix", PrefixAffinity}, {"affinity", AffinityBalance}, {"utilization", LeastUtilization},
	} {
		if key := child(path, part.key); v.has(key) && p.Balance != part.algorithm && !v.failed(child(path, "balance")) {
			v.fail(key, "is what balance: %s decides by, and this pool has %s; write balance: %[1]s, or remove it", part.algorithm, p.Balance)
		}
	}
	switch {
	case p.Balance == Hash && !v.has(child(path, "hash_by")):
		v.fail(at, "hash needs to know by what; add hash_by: client, hash_by: header:X-User, hash_by: cookie:session or hash_by: json:user")
	case p.Balance == AffinityBalance && !v.has(child(path, "affinity")):
		v.fail(at, "affinity needs to know what a target keeps at hand; add for example affinity: {by: json:model}")
	case p.Balance == LeastUtilization && p.LoadReport != LoadReportORCA:
		v.fail(at, "least_utilization goes by what targets report, and this pool does not listen; add load_report: orca, or write balance: least_connections")
	}
	if x := p.Prefix; x != nil {
		v.positive(child(child(path, "prefix"), "block"), int64(x.Block), "256B")
		v.fieldPaths(child(child(path, "prefix"), "json"), x.JSON)
	}
	if u := p.Utilization; u != nil {
		v.positive(child(child(path, "utilization"), "max_age"), int64(u.MaxAge), "10s")
	}
}

// fieldPaths checks the names of fields of a JSON body.
func (v checker) fieldPaths(path string, fields []string) {
	for i, f := range fields {
		if !isFieldPath(f) {
			v.fail(v.mentioned(item(path, i), path), "%q does not name a field; write names with dots between them, as in \"options.steps\"", f)
		}
	}
}

func (v checker) queue(path string, p *Pool) {
	at := child(path, "queue")
	q := p.Queue
	if q.Limit > 0 {
		v.positive(child(at, "timeout"), int64(q.Timeout), "60s")
	}
	if q.Limit == 0 && p.Template != nil && p.Scale != nil && p.Scale.Min == 0 {
		v.fail(child(at, "limit"), "with scale.min 0 requests must be held until the first instance is ready, and a queue of 0 holds none; write for example 1000")
	}
	v.order(at, p)
	if p.Concurrency == 0 && p.Template == nil && (q.Order != OrderFIFO || q.Fair) && !sized(p.Targets) && !v.failedBelow(at) {
		v.warn(v.mentioned(child(at, "order"), child(at, "fair")), "with concurrency 0 nothing waits for a slot, so there is nothing to put in order; set concurrency to what a target can do at a time")
	}
}

// sized reports whether a target has slots of its own.
func sized(targets []Target) bool {
	for _, t := range targets {
		if t.Slots > 0 {
			return true
		}
	}
	return false
}

// order checks by what waiting requests are put in order.
func (v checker) order(path string, p *Pool) {
	q := p.Queue
	size, wait := child(path, "size"), child(path, "max_wait")
	shortest := q.Order == OrderShortestFirst
	switch {
	case shortest && !v.has(size):
		v.fail(child(path, "order"), "shortest_first needs to know what predicts the time that a request takes; add for example size: {json: steps}, size: {header: X-Tokens} or size: {bytes: true}")
	case !shortest && v.has(size) && !v.failed(child(path, "order")):
		v.fail(size, "is what order: shortest_first goes by, and this queue has %s; write order: shortest_first, or remove it", q.Order)
	}
	if v.has(wait) {
		switch {
		case q.Order == OrderFIFO:
			v.fail(wait, "with order: fifo the oldest is always next; remove it")
		case q.MaxWait <= 0:
			v.fail(wait, "0 would make every order fifo; write for example \"20s\"")
		case q.MaxWait > q.Timeout && !v.failed(child(path, "timeout")):
			v.fail(wait, "%s is more than the longest wait (timeout %s), so nobody would ever be next by it; write less", q.MaxWait, q.Timeout)
		}
	}
	if q.Size == nil || v.failed(size) || v.failedBelow(size) {
		return
	}
	n := 0
	for _, set := range []bool{q.Size.Header != "", q.Size.JSON != nil, q.Size.Bytes} {
		if set {
			n++
		}
	}
	if n != 1 {
		v.fail(size, "must have one of header, json and bytes: true; write for example {json: [steps, n]}")
		return
	}
	v.fieldName(child(size, "header"), q.Size.Header, "X-Tokens")
	v.fieldPaths(child(size, "json"), q.Size.JSON)
}

// connections checks how a pool's targets are spoken to, and who stays with
// which of them.
func (v checker) connections(path string, p *Pool) {
	if p.ProxyProtocol != "" && p.Protocol == ProtocolH2 {
		v.fail(child(path, "proxy_protocol"), "tells one client's address for a whole connection, and HTTP/2 shares connections between clients; remove it, or write protocol: h1")
	}
	if t := p.TLS; t != nil {
		at := child(path, "tls")
		switch {
		case (t.Cert == "") != (t.Key == ""):
			v.fail(v.mentioned(child(at, "cert"), child(at, "key")), "a certificate needs its key and a key its certificate; write both cert and key")
		case t.Insecure && (len(t.CA) > 0 || t.ServerName != ""):
			v.fail(child(at, "insecure"), "believes any certificate, so ca and server_name mean nothing; remove it")
		case t.Insecure:
			v.warn(child(at, "insecure"), "whoever is between Weir and its targets can read and change everything; write ca: [targets.pem] instead")
		case t.ServerName != "" && !isHostname(t.ServerName):
			v.fail(child(at, "server_name"), "%q is not a host name; write for example \"targets.internal\"", t.ServerName)
		}
	}
	if a := p.Agent; a != nil {
		v.positive(child(child(path, "agent"), "interval"), int64(a.Interval), "2s")
	}
	if s := p.Sticky; s != nil {
		v.sticky(child(path, "sticky"), s, p)
	}
}

// sticky checks the cookie. The bounds of its duration are those of AWS's
// load balancer.
func (v checker) sticky(path string, s *Sticky, p *Pool) {
	if !isToken(s.Cookie) {
		v.fail(child(path, "cookie"), "%q cannot name a cookie; use letters, digits, \"-\" and \"_\"", s.Cookie)
	}
	if lower := strings.ToLower(s.Cookie); strings.HasPrefix(lower, "__host-") || strings.HasPrefix(lower, "__secure-") {
		v.fail(child(path, "cookie"), "browsers refuse %q without TLS; write a name without the prefix", s.Cookie)
	}
	if d := child(path, "duration"); s.Duration < seconds(1) || s.Duration > seconds(604_800) {
		v.fail(d, "%s is not from 1s to 7d", s.Duration)
	} else if s.Duration%seconds(1) != 0 {
		v.fail(d, "%s is not in whole seconds; write for example %q", s.Duration, s.Duration-s.Duration%seconds(1))
	}
	if s.Wait > p.Queue.Timeout && p.Queue.Timeout > 0 {
		v.fail(child(path, "wait"), "%s is more than the longest wait in the queue (%s), so a request would be refused before; write less", s.Wait, p.Queue.Timeout)
	}
}
