package admit

// Budget bounds how many requests may be on their second or a later target at a time, so that retries do not become the load that
// keeps a pool down. It is Envoy's retry budget: a share of the active requests, but always a few. The zero value is Envoy's default.
type Budget struct {
	Percent int // of the active requests, running and waiting, 1 to 100; 0 means 20
	Min     int // that many are always allowed; 0 means 3, less than 0 none
}

// Allows says whether one more retry may run beside those that do, given how many requests are active.
func (b Budget) Allows(retrying, active int) bool {
	percent, least := b.Percent, b.Min
	if percent == 0 {
		percent = 20
	}
	if least == 0 {
		least = 3
	}
	return retrying < max(least, active*percent/100)
}
