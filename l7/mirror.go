package l7

// mirror hands a copy of the request to the route's mirror, if it has one.
func (e *Engine) mirror(x *exchange, opening []byte) {
	if x.to.Mirror == nil || !x.replay {
		return
	}
}
